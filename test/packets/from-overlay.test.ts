import assert from 'node:assert/strict'
import { before, beforeEach, describe, test } from 'node:test'
import { dissect } from './dissect.ts'
import { cases } from './from-overlay-cases.ts'
import { type NodeUnderTest, openNode, ourPorts, reset, send, skip, slot2Port } from './node-under-test.ts'
import { ipv4 } from './packet.ts'

const outward = { vni: 2, node: '172.18.0.4' } as const
const translated = (fields = {}) => ipv4('172.18.0.43', '203.0.113.9', fields)

describe('a packet comes out of the tunnel', { skip }, () => {
  let node: NodeUnderTest
  before(() => {
    node = openNode()
  })
  beforeEach(() => reset(node))

  for (const { name, given, tunnel, packet, verdict, out } of cases)
    test(name, async () => {
      await given?.(node)
      const journey = send(node, 'from_overlay', node.devices.world, packet, tunnel)
      assert.equal(journey.verdict, verdict)
      if (verdict.startsWith('DROP')) return assert.equal(journey.action, 2)
      if (verdict.startsWith('PASS')) return assert.equal(journey.action, -1)
      assert.equal(journey.action, 7)
      const result = dissect(journey.out)
      assert.deepEqual(result.wrongChecksums, [])
      assert.deepEqual({ ...result, ...out }, result)
    })

  test('later fragments follow their first, but not one that is not the sender’s', () => {
    const pieces = (port: number) => {
      const udp = translated().udp(port, 443, Buffer.alloc(64)).subarray(34)
      return [0, 40].map((offset) =>
        translated({ fragment: { id: port, offset, hasMore: offset === 0 } }).raw(
          17,
          udp.subarray(offset, offset + 40),
        ),
      )
    }
    const verdicts = (port: number): string[] =>
      pieces(port).map((piece) => send(node, 'from_overlay', node.devices.world, piece, outward).verdict)
    assert.deepEqual(verdicts(ourPorts.first), ['DROP_NOT_THE_OWNER', 'DROP_UNKNOWN_FRAGMENT'])
    assert.deepEqual(verdicts(slot2Port), ['SENT_FORWARDED', 'SENT_FORWARDED'])
  })
})
