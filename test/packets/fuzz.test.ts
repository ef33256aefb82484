import assert from 'node:assert/strict'
import { before, beforeEach, describe, test } from 'node:test'
import fc from 'fast-check'
import type { Program } from '../../src/datapath/datapath.ts'
import { randomRuns } from '../support/random-runs.ts'
import {
  anyDestination,
  anySource,
  type Build,
  damage,
  damaged,
  destinationOf,
  ipFields,
  payload,
  runnable,
  transport,
} from './any-packet.ts'
import { dissect } from './dissect.ts'
import { established } from './flows.ts'
import { type NodeUnderTest, openNode, reset, send, skip, slot2Port } from './node-under-test.ts'
import { address, ipv4 } from './packet.ts'

/*
 * Many packets, most of them broken, through every program. Whatever comes: one ending is counted (send throws
 * otherwise), a packet of a selected pod to the world never leaves with another source than an egress IP, nor by the stack, and
 * a gateway never forwards a source that is not the sender's.
 */
const runs = randomRuns(4000)

const egressIps = ['172.18.0.42', '172.18.0.43', '2001:db8::42', '2001:db8::43'].map(address)
const towardsWorld = ['SENT_TO_HOLDER', 'SENT_TO_WORLD', 'SENT_FORWARDED']

/** Zero has two forms in a checksum (RFC 1071): one that is wrong over nothing but zeros may come out right. */
function isBlank(packet: Buffer): boolean {
  const ipLength = packet.readUInt16BE(12) === 0x0800 ? ((packet[14] ?? 0) & 15) * 4 : 40
  return packet.subarray(14 + ipLength).every((byte) => byte === 0)
}

describe('any packet at all', { skip }, () => {
  let node: NodeUnderTest
  before(() => {
    node = openNode()
  })
  beforeEach(() => reset(node))

  function everyJourney(
    program: Program,
    packets: fc.Arbitrary<Buffer>,
    judge: (verdict: string, out: Buffer, packet: Buffer) => void,
    tunnel?: fc.Arbitrary<{ vni: number; node: string }>,
  ): void {
    fc.assert(
      fc.property(packets, tunnel ?? fc.constant(undefined), (packet, from) => {
        const device = program === 'from_pod' ? node.devices.pod7 : node.devices.world
        const { verdict, out } = send(node, program, device, packet, from)
        judge(verdict, out, packet)
      }),
      { numRuns: runs },
    )
  }

  for (const { family, pod, destinations } of [
    { family: 'IPv4', pod: '10.244.1.7', destinations: ['203.0.113.9', '198.51.100.9', '198.18.0.9'] },
    { family: 'IPv6', pod: 'fd00:1::7', destinations: ['2001:db8:ffff::9', '2001:db8:eeee::9'] },
  ])
    test(`a packet of a selected pod leaves with an egress IP, its checksums as right as before, or not at all: ${family}`, () => {
      const packets = fc
        .tuple(transport, fc.constantFrom(...destinations), ipFields)
        .map(([build, destination, fields]) => runnable(build(pod, destination, fields)))
      everyJourney('from_pod', packets, (verdict, out, packet) => {
        assert.ok(!verdict.startsWith('PASS') && verdict !== 'SENT_TO_WORLD_MASQUERADED', verdict)
        if (!towardsWorld.includes(verdict)) return
        const result = dissect(out)
        assert.ok(egressIps.includes(result.source), `${verdict} with ${result.source}`)
        if (!isBlank(packet)) assert.deepEqual(result.wrongChecksums, dissect(packet).wrongChecksums)
      })
    })

  test('a broken or spoofed packet never reaches the world with its own source', () => {
    const packets = fc
      .tuple(transport, anySource, anyDestination, ipFields, damage)
      .map(([build, source, destination, fields, harm]) => damaged(build(source, destination, fields), harm))
    everyJourney('from_pod', packets, (verdict, out) => {
      if (verdict.startsWith('SENT_TO_WORLD') || verdict === 'SENT_TO_HOLDER') {
        const source = out.subarray(26, 30).join('.')
        assert.ok([...egressIps, '172.18.0.3'].includes(source as never), `${verdict} with ${source}`)
      }
    })
  })

  for (const { family, sources, destinations } of [
    { family: 'IPv4', sources: ['10.244.1.7', '10.244.1.8', '203.0.113.77'], destinations: ['203.0.113.9', '198.51.100.9'] },
    { family: 'IPv6', sources: ['fd00:1::7', 'fd00:1::8', '2001:db8::dead'], destinations: ['2001:db8:ffff::9', '2001:db8:eeee::9'] },
  ])
    test(`what a selected pod sends to the world never passes to the stack, broken or spoofed as it may be: ${family}`, () => {
      const packets = fc
        .tuple(transport, fc.constantFrom(...sources), fc.constantFrom(...destinations), ipFields, damage)
        .map(([build, source, destination, fields, harm]) => damaged(build(source, destination, fields), harm))
      everyJourney('from_pod', packets, (verdict, _out, packet) => {
        if (verdict.startsWith('PASS')) assert.ok(!destinations.includes(destinationOf(packet) ?? ''), verdict)
      })
    }) // biome-ignore format: one line a family

  test('noise from outside is passed, dropped or delivered, and never crashes', () => {
    established({ protocol: 17 })(node)
    const noise = fc
      .uint8Array({ minLength: 14, maxLength: 200 })
      .map((bytes) => runnable(Buffer.from(bytes)))
    const packets = fc.oneof(
      fc
        .tuple(
          transport,
          fc.constantFrom('203.0.113.9', '10.244.1.7', '172.18.0.42'),
          fc.constantFrom('172.18.0.42', '172.18.0.43', '172.18.0.3', '10.244.1.7'),
          ipFields,
          damage,
        )
        .map(([build, source, destination, fields, harm]) =>
          damaged(build(source, destination, fields), harm),
        ),
      noise,
    )
    everyJourney('from_world', packets, (verdict) =>
      assert.ok(
        !['SENT_TO_WORLD', 'SENT_TO_HOLDER', 'SENT_FORWARDED', 'CONTINUE'].includes(verdict),
        verdict,
      ),
    )
  })

  test("a gateway forwards nothing but an owner's port on an egress IP", () => {
    const sources = ['172.18.0.42', '172.18.0.43', '172.18.0.3', '10.244.2.8', '203.0.113.9']
    const anything = fc.tuple(transport, fc.constantFrom(...sources), anyDestination, ipFields, damage)
    const rightful = fc.tuple(
      payload.map(
        (data): Build =>
          (source, destination, ip) =>
            ipv4(source, destination, ip).udp(slot2Port, 443, data),
      ),
      fc.constant('172.18.0.43'),
      fc.constant('203.0.113.9'),
      ipFields,
      damage,
    )
    const packets = fc
      .oneof(anything, rightful)
      .map(([build, source, destination, fields, harm]) => damaged(build(source, destination, fields), harm))
    const tunnel = fc.oneof(
      fc.constant({ vni: 2, node: '172.18.0.4' }),
      fc.record({
        vni: fc.constantFrom(0, 1, 2, 3, 4, 5, 99),
        node: fc.constantFrom('172.18.0.4', '172.18.0.5', '172.18.0.99'),
      }),
    )
    let forwarded = 0
    const judge = (verdict: string, out: Buffer): void => {
      if (verdict !== 'SENT_FORWARDED') return
      forwarded++
      const { source, sourcePort, identifier, about } = dissect(out)
      assert.ok(egressIps.includes(source), source)
      const owned = about?.destinationPort ?? about?.identifier ?? sourcePort ?? identifier
      if (owned !== undefined) assert.equal(owned >> 4, slot2Port >> 4)
    }
    everyJourney('from_overlay', packets, judge, tunnel)
    assert.ok(forwarded > runs / 100, `only ${forwarded} of ${runs} packets were of a kind that may pass`)
  })

  test('to_pod lets everything pass and counts it', () => {
    const packets = fc
      .tuple(
        transport,
        fc.constantFrom('203.0.113.9', '10.244.1.8'),
        fc.constant('10.244.1.7'),
        ipFields,
        damage,
      )
      .map(([build, source, destination, fields, harm]) => damaged(build(source, destination, fields), harm))
    everyJourney('to_pod', packets, (verdict) => assert.equal(verdict, 'PASS_TO_STACK'))
  })
})
