import assert from 'node:assert/strict'
import { before, beforeEach, describe, test } from 'node:test'
import fc from 'fast-check'
import type { Program } from '../../src/datapath/datapath.ts'
import { addressFromBytes } from '../../src/net/address.ts'
import { dissect } from './dissect.ts'
import { established } from './flows.ts'
import { type NodeUnderTest, openNode, ourPorts, reset, send, skip, slot2Port } from './node-under-test.ts'
import { address, type IpFields, ipv4, ipv6, protocolNumber, type TcpFields } from './packet.ts'

/*
 * Many packets, most of them broken, through every program. Whatever comes: one ending is counted (send throws
 * otherwise), a packet of a selected pod to the world never leaves with another source than an egress IP, nor by the stack, and
 * a gateway never forwards a source that is not the sender's.
 */
const runs = 4000

const payload = fc.uint8Array({ maxLength: 64 }).map((bytes) => Buffer.from(bytes))
const port = fc.oneof(fc.nat(65535), fc.constantFrom(0, 443, 40000, ourPorts.first, slot2Port))
const flags = fc.subarray(['FIN', 'SYN', 'RST', 'PSH', 'ACK'] as const)
const anyDestination = fc.oneof(
  fc.constantFrom('203.0.113.9', '198.51.100.9', '198.18.0.9'),
  fc.constantFrom(
    '10.244.1.8',
    '10.244.2.8',
    '10.96.0.1',
    '172.18.0.3',
    '172.18.0.42',
    '172.18.0.43',
    '224.0.0.1',
    '255.255.255.255',
    '10.244.1.7',
  ),
)
const anySource = fc.oneof(
  { weight: 4, arbitrary: fc.constant('10.244.1.7') },
  {
    weight: 1,
    arbitrary: fc.constantFrom('10.244.1.8', '10.244.1.9', '203.0.113.9', '172.18.0.42', '0.0.0.0'),
  },
)

const ipFields: fc.Arbitrary<IpFields> = fc.record(
  {
    timeToLive: fc.constantFrom(0, 1, 2, 64, 255),
    dontFragment: fc.boolean(),
    options: fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
    fragment: fc.record({ id: fc.nat(5), offset: fc.constantFrom(0, 8, 1480), hasMore: fc.boolean() }),
  },
  { requiredKeys: [] },
)
const tcpFields: fc.Arbitrary<TcpFields> = fc.record(
  {
    flags,
    sequence: fc.nat(2 ** 32 - 1),
    acknowledged: fc.nat(2 ** 32 - 1),
    mss: fc.nat(65535),
    options: fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)),
    payload,
  },
  { requiredKeys: [] },
)

type Build = (source: string, destination: string, fields: IpFields) => Buffer

/** How a packet goes on after its IP header. */
const transport: fc.Arbitrary<Build> = fc.oneof(
  fc.tuple(port, port, tcpFields).map(
    ([from, to, fields]): Build =>
      (source, destination, ip) =>
        network(source)(source, destination, ip).tcp(from, to, fields),
  ),
  fc.tuple(port, port, payload, fc.boolean()).map(
    ([from, to, data, hasSum]): Build =>
      (source, destination, ip) =>
        network(source)(source, destination, ip).udp(from, to, data, hasSum || source.includes(':')),
  ),
  fc.tuple(fc.constantFrom('request' as const, 'reply' as const), port).map(
    ([kind, id]): Build =>
      (source, destination, ip) =>
        network(source)(source, destination, ip).echo(kind, id),
  ),
  fc
    .tuple(
      fc.constantFrom('unreachable' as const, 'tooBig' as const, 'timeExceeded' as const),
      port,
      port,
      fc.nat(60),
    )
    .map(
      ([kind, from, to, quoted]): Build =>
        (source, destination, ip) =>
          network(source)(source, destination, ip).error(
            kind,
            network(source)(destination, source).udp(to, from),
            quoted,
          ),
    ),
  fc.tuple(fc.nat(255), payload).map(
    ([type, data]): Build =>
      (source, destination, ip) =>
        network(source)(source, destination, ip).raw(
          source.includes(':') ? protocolNumber.icmp6 : protocolNumber.icmp,
          Buffer.concat([Buffer.from([type, 0, 0, 0, 0, 0, 0, 0]), data]),
        ),
  ),
  fc.tuple(fc.nat(255), payload).map(
    ([protocol, data]): Build =>
      (source, destination, ip) =>
        network(source)(source, destination, ip).raw(protocol, data),
  ),
)

function network(source: string): typeof ipv4 {
  return source.includes(':') ? ipv6 : ipv4
}

interface Damage {
  readonly cut: number | undefined
  readonly bytes: readonly { readonly at: number; readonly value: number }[]
}

/** Most packets are whole; the others lose their end or get a few wrong bytes, headers more often than the rest. */
const damage: fc.Arbitrary<Damage> = fc.record({
  cut: fc.option(fc.nat(80), { nil: undefined, freq: 4 }),
  bytes: fc.oneof(
    fc.constant([]),
    fc.array(fc.record({ at: fc.integer({ min: 12, max: 90 }), value: fc.nat(255) }), { maxLength: 4 }),
  ),
})

/**
 * A test run wants a whole IP header behind an Ethernet header that announces one, or it refuses to run at all.
 * Zeros make up for what a cut took too much.
 */
function runnable(packet: Buffer): Buffer {
  const shortest = { 2048: 34, 34525: 54 }[packet.readUInt16BE(12)] ?? 15
  return Buffer.concat([packet, Buffer.alloc(Math.max(0, shortest - packet.length))])
}

function damaged(packet: Buffer, { cut, bytes }: Damage): Buffer {
  const copy = Buffer.from(
    packet.subarray(0, cut === undefined ? packet.length : Math.max(14, packet.length - cut)),
  )
  for (const { at, value } of bytes) if (at < copy.length) copy.writeUInt8(value, at)
  return runnable(copy)
}

/** None of a packet that damage has made another kind of. */
function destinationOf(packet: Buffer): string | undefined {
  const type = packet.readUInt16BE(12)
  if (type === 0x0800) return addressFromBytes(Buffer.concat([mapped, packet.subarray(30, 34)]))
  return type === 0x86dd ? addressFromBytes(packet.subarray(38, 54)) : undefined
}

const mapped = Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff])
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
