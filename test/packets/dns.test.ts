import assert from 'node:assert/strict'
import { before, beforeEach, describe, test } from 'node:test'
import { Sweep } from '../../src/agent/ports/sweep.ts'
import { age, established, type Flow, flowKey, secondNs } from './flows.ts'
import { type NodeUnderTest, openNode, reset, skip, standardTables } from './node-under-test.ts'
import { address, ipv4 } from './packet.ts'

const dns: Flow = { protocol: 17, destinationPort: 53 }
const egressIp = address('172.18.0.42')

describe('questions to a DNS server', { skip }, () => {
  let node: NodeUnderTest
  before(() => {
    node = openNode({ simulated_clock: 1 })
  })
  beforeEach(() => reset(node))

  function at(nowNs: bigint): void {
    node.datapath.tables.simulated_run.set(0, {
      now_ns: nowNs, random: 0n, tunnel_source: address('::'), tunnel_vni: 0, ifindex: 0, has_own_socket: false,
      verdict: 'CONTINUE', departure: 'DEPARTED_NOT', sent_ifindex: 0, sent_vni: 0, sent_node: address('::'),
    }) // biome-ignore format: short
  }

  /** Is the flow over after so many seconds without a packet? */
  function isOver(flow: Flow, seconds: number): boolean {
    established(flow)(node)
    at(process.hrtime.bigint())
    age(node, flowKey(flow), BigInt(seconds) * secondNs)
    return new Sweep().run(node.datapath).removed === 1
  }

  const answered = { packets_out: 2n, packets_in: 2n }
  const open = { packets_out: 2n, packets_in: 1n }
  for (const [name, flow, seconds, expected] of [
    ['an answered question is over after five seconds', { ...dns, mapping: answered }, 5, true],
    ['an answered question is not over before', { ...dns, mapping: answered }, 3, false],
    ['a question without an answer waits for twenty seconds', { ...dns, mapping: open }, 18, false],
    ['a question without an answer waits no longer', { ...dns, mapping: open }, 20, true],
    ['other UDP flows live for five minutes', { ...dns, destinationPort: 54, mapping: answered }, 290, false],
    ['a connection by TCP lives as any other', { ...dns, protocol: 6, mapping: answered }, 3600, false],
  ] as const)
    test(name, () => assert.equal(isOver(flow, seconds), expected))

  /*
   * 60 questions a second, each from a fresh port, and each is answered. A question has its port for 5 s: 300 ports. With
   * the time of other UDP flows the 768 ports would be gone after 13 s.
   */
  test('a busy pod needs as many ports as it asks questions in five seconds', async () => {
    const tables = standardTables(node)
    const blocks = Array.from({ length: 48 }, (_, index) => 2048 + index)
    const blockOwner = Array.from({ length: 4096 }, (_, block) => (blocks.includes(block) ? 1 : undefined))
    const order = tables.egressIps.get(egressIp)?.order ?? []
    await node.datapath.apply({
      ...tables,
      pools: tables.pools.map((pool) => (pool.address === egressIp ? { ...pool, blocks } : pool)),
      egressIps: new Map([...tables.egressIps, [egressIp, { order, blockOwner }]]),
    })
    const startNs = process.hrtime.bigint()
    for (let question = 0; question < 20 * 60; question++) {
      const sourcePort = 10_000 + question
      at(startNs + (BigInt(question) * secondNs) / 60n)
      const { datapath, devices } = node
      const asked = ipv4('10.244.1.7', '203.0.113.9').udp(sourcePort, 53)
      datapath.testRun('from_pod', asked, { ifindex: devices.pod7 })
      const mapping = datapath.tables.mappings.get(flowKey({ ...dns, sourcePort }))
      assert.ok(mapping, `question ${question} found no port`)
      const answer = ipv4('203.0.113.9', egressIp).udp(53, mapping.egress_port)
      datapath.testRun('from_world', answer, { ifindex: devices.world })
    }
    new Sweep().run(node.datapath)
    const held = node.datapath.tables.ports.count()
    assert.ok(held >= 290 && held <= 310, `${held} ports`)
  })
})
