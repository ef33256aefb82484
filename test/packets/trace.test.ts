import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { openingFlow, openingPacket, resetPacket } from '../../src/datapath/dry-run/opening-packet.ts'
import type { Passage, TracedFlow } from '../../src/datapath/tables/observation-tables.ts'
import {
  mac,
  type NodeUnderTest,
  openNode,
  ourPorts,
  reset,
  send,
  skip,
  standardTables,
} from './node-under-test.ts'
import { address, ipv4 } from './packet.ts'

/* The programs follow a test packet that came in by a pod's real device, and the answers to it. */
describe('a test packet', { skip }, () => {
  let node: NodeUnderTest
  before(() => {
    node = openNode({ simulated_tunnel: 0 })
    node.datapath.attach('from_pod', node.devices.pod7)
  })
  after(() => node.datapath[Symbol.asyncDispose]())
  beforeEach(async () => {
    await reset(node)
    const tables = standardTables(node)
    await node.datapath.apply({ ...tables, self: { ...tables.self, overlayIfindex: node.devices.pod8 } })
  })

  const macs = { to: mac.host7, from: mac.pod7 }
  const far = address('203.0.113.9')
  const flowTo = (to: string, protocol: 'tcp' | 'udp' = 'tcp', sourcePort = 41000) =>
    openingFlow(address('10.244.1.7'), address(to), { protocol, port: 443, sourcePort })
  const flow = flowTo('203.0.113.9')
  const overTcp = (sequence: number): TracedFlow => ({ protocol: 6, sequence, far, far_port: 0 })
  const overUdp: TracedFlow = { protocol: 17, sequence: 0, far, far_port: 443 }
  const inject = (packet: Buffer): void => node.datapath.inject(packet, node.devices.pod7)

  async function passagesOf(
    traced: TracedFlow,
    act: () => void | Promise<void>,
  ): Promise<readonly Passage[]> {
    const found: Passage[] = []
    const until = new AbortController()
    const reading = (async () => {
      for await (const passage of node.datapath.passages(traced, until.signal)) found.push(passage)
    })()
    await act()
    await sleep(100)
    until.abort()
    await reading
    return found
  }
  const brief = (found: readonly Passage[]): readonly string[] =>
    found.map(({ program, verdict }) => `${program} ${verdict}`)

  test('is a real packet of the pod, and the program tells its verdict', async () => {
    const found = await passagesOf(overTcp(7), () => inject(openingPacket(flow, macs, 7)))
    assert.deepEqual(brief(found), ['FROM_POD SENT_TO_HOLDER'])
    assert.deepEqual(found[0]?.flow, flow)
    assert.equal(found[0]?.tcp_flags, 2)
    assert.equal(node.datapath.tables.mappings.get(flow)?.egress_ip, '172.18.0.42')
  })

  test('is followed to its reset, and no other connection is, also where sequence numbers wrap', async () => {
    const last = 0xffff_ffff
    const found = await passagesOf(overTcp(last), () => {
      inject(openingPacket(flowTo('203.0.113.9', 'tcp', 41001), macs, 8))
      inject(openingPacket(flow, macs, last))
      inject(resetPacket(flow, macs, last))
    })
    assert.deepEqual(
      found.map(({ flow: { source_port }, tcp_flags }) => [source_port, tcp_flags]),
      [
        [41000, 2],
        [41000, 4],
      ],
    )
    assert.ok(node.datapath.tables.mappings.get(flow)?.state.includes('STATE_RESET'))
  })

  for (const [what, egress, answer] of [
    ['an acceptance', ourPorts.first, { flags: ['SYN', 'ACK'], acknowledged: 8, sequence: 99 }],
    ['a refusal', ourPorts.first, { flags: ['RST', 'ACK'], acknowledged: 8 }],
  ] as const)
    test(`shows ${what} from the world`, async () => {
      const back = ipv4('203.0.113.9', '172.18.0.42').tcp(443, egress, answer)
      const other = ipv4('203.0.113.9', '172.18.0.42').tcp(443, egress, { ...answer, acknowledged: 9 })
      const found = await passagesOf(overTcp(7), () => {
        for (const packet of [other, back]) send(node, 'from_world', node.devices.world, packet)
      })
      assert.equal(found.length, 1)
      assert.equal(found[0]?.program, 'FROM_WORLD')
      assert.equal(found[0]?.tcp_flags, answer.flags[0] === 'SYN' ? 18 : 20)
    })

  for (const protocol of ['tcp', 'udp'] as const)
    test(`shows an ICMP error about a packet over ${protocol}, with its sender and its code`, async () => {
      const out = ipv4('172.18.0.42', '203.0.113.9')
      const sent =
        protocol === 'udp'
          ? out.udp(ourPorts.first, 443)
          : out.tcp(ourPorts.first, 443, { flags: ['SYN'], sequence: 7 })
      const error = ipv4('192.0.2.1', '172.18.0.42').error('unreachable', sent)
      const found = await passagesOf(protocol === 'udp' ? overUdp : overTcp(7), () => {
        send(node, 'from_world', node.devices.world, error)
      })
      assert.deepEqual(
        found.map(({ is_icmp_error, sender, icmp_type }) => [is_icmp_error, sender, icmp_type]),
        [[true, '192.0.2.1', 3]],
      )
    })

  test('over UDP is each datagram to the far end, and none to another', async () => {
    const found = await passagesOf(overUdp, () => {
      inject(openingPacket(flowTo('203.0.113.8', 'udp'), macs))
      inject(openingPacket(flowTo('203.0.113.9', 'udp'), macs))
    })
    assert.deepEqual(
      found.map(({ flow: { destination } }) => destination),
      ['203.0.113.9'],
    )
  })

  test('is forgotten when nobody follows it any more', async () => {
    await passagesOf(overTcp(7), () => {})
    inject(openingPacket(flow, macs, 7))
    const found = await passagesOf(overTcp(8), () => sleep(50))
    assert.deepEqual(brief(found), [])
  })
})
