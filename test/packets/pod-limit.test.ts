import assert from 'node:assert/strict'
import { before, beforeEach, describe, test } from 'node:test'
import { Sweep } from '../../src/agent/ports/sweep.ts'
import { age, flowKey, secondNs } from './flows.ts'
import { type NodeUnderTest, openNode, reset, send, skip, standardTables } from './node-under-test.ts'
import { address, ipv4, type TcpFields } from './packet.ts'

const limit = 8
const egressIp = address('172.18.0.42')

describe('a limit of ports per pod', { skip }, () => {
  let node: NodeUnderTest
  before(() => {
    node = openNode({ max_ports_per_pod: limit })
  })
  beforeEach(async () => {
    await reset(node)
    const tables = standardTables(node)
    const other = tables.pods.get(address('10.244.1.8'))
    assert.ok(other)
    await node.datapath.apply({
      ...tables,
      pods: new Map([...tables.pods, [address('10.244.1.8'), { ...other, policySet: 1n }]]),
    })
  })

  const out = (sourcePort: number, fields: TcpFields = { flags: ['SYN'], sequence: 100 }, pod: 7 | 8 = 7) =>
    send(
      node,
      'from_pod',
      node.devices[`pod${pod}`],
      ipv4(`10.244.1.${pod}`, '203.0.113.9').tcp(sourcePort, 443, fields),
    ).verdict

  function back(sourcePort: number, fields: TcpFields): void {
    const port = node.datapath.tables.mappings.get(flowKey({ sourcePort }))?.egress_port ?? 0
    const answer = ipv4('203.0.113.9', '172.18.0.42').tcp(443, port, fields)
    assert.equal(send(node, 'from_world', node.devices.world, answer).verdict, 'SENT_TO_POD')
  }

  const fill = (): void => {
    for (let index = 0; index < limit; index++) assert.equal(out(20_000 + index), 'SENT_TO_HOLDER')
  }

  test('refuses one flow more, and packets of open flows pass', () => {
    fill()
    assert.equal(out(30_000), 'DROP_POD_LIMIT')
    assert.equal(out(20_000), 'SENT_TO_HOLDER')
  })

  test('does not concern other pods, nor other egress IPs', () => {
    fill()
    assert.equal(out(20_000, { flags: ['SYN'] }, 8), 'SENT_TO_HOLDER')
    const elsewhere = ipv4('10.244.1.7', '198.51.100.9').tcp(20_000, 443, { flags: ['SYN'] })
    assert.equal(send(node, 'from_pod', node.devices.pod7, elsewhere).verdict, 'SENT_TO_WORLD')
  })

  test('does not count connections that were closed', () => {
    fill()
    back(20_000, { flags: ['SYN', 'ACK'], sequence: 500, acknowledged: 101 })
    out(20_000, { flags: ['ACK'], sequence: 101, acknowledged: 501 })
    out(20_000, { flags: ['FIN', 'ACK'], sequence: 101, acknowledged: 501 })
    back(20_000, { flags: ['FIN', 'ACK'], sequence: 501, acknowledged: 102 })
    out(20_000, { flags: ['ACK'], sequence: 102, acknowledged: 502 })
    assert.equal(out(30_000), 'SENT_TO_HOLDER')
    assert.equal(out(30_001), 'DROP_POD_LIMIT')
  })

  test('does not count what the sweep has deleted', () => {
    fill()
    age(node, flowKey({ sourcePort: 20_000 }), 300n * secondNs)
    assert.equal(out(30_000), 'DROP_POD_LIMIT')
    assert.equal(new Sweep().run(node.datapath).removed, 1)
    assert.equal(out(30_000), 'SENT_TO_HOLDER')
    assert.equal(
      node.datapath.tables.pod_flows.get({ pod: address('10.244.1.7'), egress_ip: egressIp }),
      limit,
    )
  })

  test('does not count flows that no policy selects, if the egress IP is the node’s own address', async () => {
    const own = address('172.18.0.3')
    const tables = standardTables(node)
    const [entry, other] = [tables.egressIps.get(own), tables.egressIps.get(egressIp)]
    assert.ok(entry && other)
    const blockOwner = entry.blockOwner.map((is, block) => is ?? other.blockOwner[block])
    const pool = tables.pools.find((each) => each.address === egressIp)
    assert.ok(pool)
    await node.datapath.apply({
      ...tables,
      egressIps: new Map([...tables.egressIps, [own, { ...entry, blockOwner }]]),
      pools: [...tables.pools, { ...pool, address: own }],
      groups: new Map([...tables.groups, [1n, { preferred: [own], standby: [], keepsAddress: false }]]),
    })
    const masqueraded = (sourcePort: number): string =>
      send(
        node,
        'from_pod',
        node.devices.pod7,
        ipv4('10.244.1.7', '192.0.2.1').tcp(sourcePort, 443, { flags: ['SYN'] }),
      ).verdict
    for (let flow = 0; flow < limit; flow++)
      assert.equal(masqueraded(20_000 + flow), 'SENT_TO_WORLD_MASQUERADED')
    assert.equal(out(30_000), 'SENT_TO_WORLD')
  })

  test('tells the agent before the pod is at its limit', () => {
    const { pool_pressures: pressures } = node.datapath.tables
    const key = { address: egressIp, purpose: 'egress' as const }
    pressures.delete(key)
    for (let index = 0; index < (limit * 3) / 4; index++) out(20_000 + index)
    assert.equal(pressures.get(key), undefined)
    out(21_000)
    assert.notEqual(pressures.get(key), undefined)
  })
})
