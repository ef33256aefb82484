import assert from 'node:assert/strict'
import { before, beforeEach, describe, test } from 'node:test'
import { secondNs } from './flows.ts'
import { type NodeUnderTest, openNode, reset, send, skip } from './node-under-test.ts'
import { address } from './packet.ts'

const gateway = address('172.18.0.4')
const tunnels = { probe: 4, answer: 5, refusal: 6 } as const

/** Probes are Ethernet frames with nothing in them: what they vouch for is the way. */
const probe = Buffer.alloc(60)
probe.writeUInt16BE(0x88b5, 12)

describe('a probe, and what is heard of it', { skip }, () => {
  let node: NodeUnderTest
  before(() => {
    node = openNode()
  })
  beforeEach(() => reset(node))

  const receive = (vni: number, from = '172.18.0.4') =>
    send(node, 'from_overlay', node.devices.world, probe, { vni, node: from })
  const lastHeard = () => node.datapath.tables.probed_gateways.get(gateway)?.answered_ns

  test('is answered through the tunnel', () => {
    const { verdict, action } = receive(tunnels.probe)
    assert.equal(verdict, 'SENT_PROBE_ANSWER')
    assert.equal(action, 7)
  })

  test('of somebody who is no node has no answer', () => {
    assert.equal(receive(tunnels.probe, '172.18.0.99').verdict, 'DROP_UNKNOWN_NODE')
  })

  test('an answer says that the gateway is alive, and goes no further', () => {
    node.datapath.tables.probed_gateways.set(gateway, {
      answered_ns: 1n,
      refused_ns: 0n,
      flapping_until_ns: 0n,
    })
    const before = process.hrtime.bigint()
    const { verdict, action } = receive(tunnels.answer)
    assert.equal(verdict, 'TAKEN_PROBE_ANSWER')
    assert.equal(action, 2)
    assert.ok((lastHeard() ?? 0n) >= before)
  })

  test('a refusal says at once that it is not', () => {
    node.datapath.tables.probed_gateways.set(gateway, {
      answered_ns: process.hrtime.bigint() + secondNs,
      refused_ns: 0n,
      flapping_until_ns: 0n,
    })
    const before = process.hrtime.bigint()
    assert.equal(receive(tunnels.refusal).verdict, 'TAKEN_PROBE_ANSWER')
    assert.equal(lastHeard(), 0n)
    const { refused_ns = 0n } = node.datapath.tables.probed_gateways.get(gateway) ?? {}
    assert.ok(refused_ns >= before, 'a refusal shows that the path works')
  })

  test('an answer of somebody who was not asked is not noted', () => {
    receive(tunnels.answer)
    assert.equal(lastHeard(), undefined)
  })
})
