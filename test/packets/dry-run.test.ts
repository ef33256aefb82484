import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, test } from 'node:test'
import { DryRun } from '../../src/datapath/dry-run/dry-run.ts'
import { openingFlow, openingPacket, type Protocol } from '../../src/datapath/dry-run/opening-packet.ts'
import { type RawMap, readEntries } from '../../src/datapath/maps/maps.ts'
import {
  mac,
  type NodeUnderTest,
  openNode,
  ourPorts,
  prefix,
  reset,
  send,
  skip,
  standardTables,
} from './node-under-test.ts'
import { address, ipv4 } from './packet.ts'

/* The program once more, beside the running one: it says the same, and leaves no trace. */
describe('a dry run', { skip }, () => {
  let node: NodeUnderTest
  let dry: DryRun
  let turns = 0
  before(async () => {
    node = openNode()
    await reset(node)
    const counting = setInterval(() => turns++, 10)
    dry = await DryRun.open(node.datapath)
    clearInterval(counting)
  })
  after(async () => {
    dry[Symbol.dispose]()
    await node.datapath[Symbol.asyncDispose]()
  })
  beforeEach(() => reset(node))

  let lastPort = 20000
  const opening = (to: string, protocol: Protocol = 'tcp', from = '10.244.1.7') => {
    const flow = openingFlow(address(from), address(to), { protocol, port: 443, sourcePort: ++lastPort })
    return { flow, packet: openingPacket(flow, { to: mac.host7, from: mac.pod7 }) }
  }
  const runIn = (on: DryRun, { flow, packet }: ReturnType<typeof opening>, ifindex = node.devices.pod7) =>
    on.run(packet, ifindex, flow, { nowNs: 0n, random: 1n })

  /** Every byte of every map that is pinned. */
  const everything = (): Readonly<Record<string, readonly string[]>> =>
    Object.fromEntries(
      Object.entries(node.datapath.tables as Record<string, { readonly raw: RawMap }>)
        .filter(([name]) => !['counters', 'drop_budgets'].includes(name))
        .map(([name, { raw }]) => [
          name,
          [...readEntries(raw)]
            .map(([key, value]) => `${Buffer.from(key, 'latin1').toString('hex')} ${value.toString('hex')}`)
            .sort(),
        ]),
    )

  test('loads on another thread, while the process goes on', () => {
    assert.ok(turns > 3, `${turns} turns`)
  })

  for (const protocol of ['tcp', 'udp', 'icmp'] as const)
    test(`ends as the running program does, for ${protocol}`, async () => {
      for (const to of [
        '203.0.113.9',
        '198.51.100.9',
        '192.0.2.9',
        '192.0.2.40',
        '192.0.2.70',
        '10.244.2.9',
        '172.18.0.3',
        '10.96.0.1',
        '198.18.0.1',
        '8.8.8.8',
      ]) {
        const dryly = runIn(dry, opening(to, protocol))
        const really = send(node, 'from_pod', node.devices.pod7, opening(to, protocol).packet)
        assert.equal(dryly.verdict, really.verdict, to)
      }
      const { packet } = opening('203.0.113.9', protocol, '10.244.1.99')
      assert.equal(
        runIn(dry, opening('203.0.113.9', protocol, '10.244.1.99')).verdict,
        send(node, 'from_pod', node.devices.pod7, packet).verdict,
      )
    })

  test('says which address, port, gateway and device the flow would have', async () => {
    const away = runIn(dry, opening('203.0.113.9'))
    assert.equal(away.verdict, 'SENT_TO_HOLDER')
    assert.equal(away.node, '172.18.0.4')
    assert.equal(away.mapping?.egress_ip, '172.18.0.42')
    assert.ok(
      (away.mapping?.egress_port ?? 0) >= ourPorts.first && (away.mapping?.egress_port ?? 0) <= ourPorts.last,
    )
    const here = runIn(dry, opening('198.51.100.9'))
    assert.deepEqual(
      [here.verdict, here.node, here.ifindex],
      ['SENT_TO_WORLD', undefined, node.devices.world],
    )
  })

  test('changes no map and counts nothing, whatever it ends with', async () => {
    send(
      node,
      'from_pod',
      node.devices.pod7,
      ipv4('10.244.1.7', '203.0.113.9').tcp(40000, 443, { flags: ['SYN'] }),
    )
    const [before, counts] = [everything(), node.datapath.counts()]
    for (const to of ['203.0.113.9', '198.51.100.9', '192.0.2.40', '10.244.2.9', '8.8.8.8', '192.0.2.9'])
      for (const protocol of ['tcp', 'udp', 'icmp'] as const) runIn(dry, opening(to, protocol))
    assert.deepEqual(everything(), before)
    assert.deepEqual(node.datapath.counts(), counts)
    send(node, 'from_pod', node.devices.pod7, opening('203.0.113.9').packet)
    assert.notDeepEqual(everything(), before)
  })

  test('finds no port if all are in use towards the destination, and does not take them away', async () => {
    const to = '203.0.113.9'
    for (let port = 1; port <= 64; port++)
      send(node, 'from_pod', node.devices.pod7, ipv4('10.244.1.7', to).tcp(port, 443, { flags: ['SYN'] }))
    const inUse = [...node.datapath.tables.ports.entries()].length
    assert.ok(inUse >= 12, `${inUse}`)
    const ports = Array.from({ length: 16 }, (_, index) =>
      openingFlow(address('172.18.0.42'), address(to), {
        protocol: 'tcp',
        port: 443,
        sourcePort: ourPorts.first + index,
      }),
    )
    assert.equal(runIn(dry, opening(to)).verdict, 'SENT_TO_HOLDER', 'it does not know of them yet')
    const taken = await dry.take(ports, { pod: address('10.244.1.7'), egress_ip: address('172.18.0.42') })
    assert.equal(taken.ports.size, inUse)
    assert.equal(
      runIn(dry, opening(to)).verdict,
      send(node, 'from_pod', node.devices.pod7, opening(to).packet).verdict,
    )
    assert.equal([...node.datapath.tables.ports.entries()].length, inUse)
  })

  test('answers for tables that are not in force', async () => {
    const tables = standardTables(node)
    const rules = new Map([
      [1n, new Map([[prefix('8.8.8.0/24'), { action: 'egress' as const, group: 1n, policy: 9n }]])],
    ])
    using other = await DryRun.open(node.datapath, { ...tables, rules })
    assert.equal(runIn(other, opening('8.8.8.8')).verdict, 'SENT_TO_HOLDER')
    assert.equal(
      send(node, 'from_pod', node.devices.pod7, opening('8.8.8.8').packet).verdict,
      'DROP_NO_ROUTE',
    )
  })
})
