import assert from 'node:assert/strict'
import { before, beforeEach, describe, test } from 'node:test'
import { Sweep } from '../../src/agent/ports/sweep.ts'
import type { Desired } from '../../src/datapath/desired.ts'
import { type NodeUnderTest, openNode, reset, send, skip, standardTables } from './node-under-test.ts'
import { address, ipv4 } from './packet.ts'

const egressIp = address('172.18.0.42')
/** So many that the first flows of a flood, which may have any port, leave enough of those that are kept. */
const blocks = [2048, ...Array.from({ length: 15 }, (_, index) => 2051 + index)]
const poolPorts = 256

/** Two pods of one policy, and the node's ports of the egress IP. */
function tablesWithPool(node: NodeUnderTest): Desired {
  const tables = standardTables(node)
  const quiet = tables.pods.get(address('10.244.1.8'))
  assert.ok(quiet)
  return {
    ...tables,
    pools: tables.pools.map((pool) => (pool.address === egressIp ? { ...pool, blocks } : pool)),
    pods: new Map([...tables.pods, [address('10.244.1.8'), { ...quiet, policySet: 1n }]]),
  }
}

describe('pods of one node that share its ports', { skip }, () => {
  let node: NodeUnderTest
  before(() => {
    node = openNode()
  })
  beforeEach(async () => {
    await reset(node)
    await node.datapath.apply(tablesWithPool(node))
  })

  function open(pod: '7' | '8', count: number, from = 20_000): readonly string[] {
    const device = pod === '7' ? node.devices.pod7 : node.devices.pod8
    const verdicts = Array.from({ length: count }, (_, index) => {
      const syn = ipv4(`10.244.1.${pod}`, '203.0.113.9').tcp(from + index, 443, { flags: ['SYN'] })
      return send(node, 'from_pod', device, syn).verdict
    })
    return verdicts
  }

  const flowsOf = (pod: string): number =>
    node.datapath.tables.pod_flows.get({ pod: address(pod), egress_ip: egressIp }) ?? 0

  test('a pod that floods all ports leaves enough to a quiet one', () => {
    const flood = open('7', 300)
    assert.ok(flood.includes('DROP_NO_FREE_PORT'), 'the flood was too small')
    assert.deepEqual([...new Set(open('8', 10))], ['SENT_TO_HOLDER'])
  })

  test('what is kept for quiet pods is a quarter of the ports', () => {
    open('7', 1000)
    assert.ok(flowsOf('10.244.1.7') >= (poolPorts * 3) / 4, `${flowsOf('10.244.1.7')} flows`)
    /* Its first 16 flows may have taken some of the ports that are kept. */
    assert.ok(flowsOf('10.244.1.7') <= (poolPorts * 3) / 4 + 12, `${flowsOf('10.244.1.7')} flows`)
  })

  test('a quarter is kept of the ports that pods without a policy leave with, too', async () => {
    const own = address('172.18.0.3')
    const ownBlocks = Array.from({ length: 4 }, (_, index) => 3072 + index)
    const tables = standardTables(node)
    const entry = tables.egressIps.get(own)
    assert.ok(entry)
    const blockOwner = entry.blockOwner.map((is, block) => (ownBlocks.includes(block) ? 'self' : is))
    await node.datapath.apply({
      ...tables,
      egressIps: new Map([...tables.egressIps, [own, { ...entry, blockOwner }]]),
      pools: tables.pools.map((pool) => (pool.address === own ? { ...pool, blocks: ownBlocks } : pool)),
    })
    const leave = (pod: 7 | 8, sourcePort: number): string =>
      send(
        node,
        'from_pod',
        node.devices[`pod${pod}`],
        ipv4(`10.244.1.${pod}`, '192.0.2.1').tcp(sourcePort, 443, { flags: ['SYN'] }),
      ).verdict
    const flood = Array.from({ length: 300 }, (_, index) => leave(8, 20_000 + index))
    assert.ok(flood.includes('DROP_NO_FREE_PORT'), 'the flood was too small')
    for (let flow = 0; flow < 3; flow++) assert.equal(leave(7, 30_000 + flow), 'SENT_TO_WORLD_MASQUERADED')
  })

  test('the ports of a deleted pod are free at once', async () => {
    open('7', 300)
    const tables = tablesWithPool(node)
    await node.datapath.apply({
      ...tables,
      pods: new Map([...tables.pods].filter(([ip]) => ip !== '10.244.1.7')),
    })
    assert.deepEqual([...new Set(open('8', 40))], ['SENT_TO_HOLDER'])
  })

  test('the sweep deletes the mappings of a deleted pod', async () => {
    open('7', 30)
    open('8', 3)
    const tables = tablesWithPool(node)
    await node.datapath.apply({
      ...tables,
      pods: new Map([...tables.pods].filter(([ip]) => ip !== '10.244.1.7')),
    })
    assert.equal(new Sweep().run(node.datapath).removed, 30)
    assert.equal(node.datapath.tables.ports.count(), 3)
    assert.equal(flowsOf('10.244.1.7'), 0)
    assert.equal(flowsOf('10.244.1.8'), 3)
  })

  test('flows of another pod that had the address before are nobody’s', async () => {
    open('7', 30)
    const tables = tablesWithPool(node)
    const successor = tables.pods.get(address('10.244.1.7'))
    assert.ok(successor)
    await node.datapath.apply({
      ...tables,
      pods: new Map([
        ...tables.pods,
        [address('10.244.1.7'), { ...successor, sinceNs: process.hrtime.bigint() }],
      ]),
    })
    assert.equal(new Sweep().run(node.datapath).removed, 30)
  })
})
