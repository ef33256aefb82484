import fc from 'fast-check'
import { addressFromBytes } from '../../src/net/address.ts'
import { ourPorts, slot2Port } from './node-under-test.ts'
import { type IpFields, ipv4, ipv6, protocolNumber, type TcpFields } from './packet.ts'

/* Arbitrary packets for fast-check, and arbitrary damage to them. */

export const payload = fc.uint8Array({ maxLength: 64 }).map((bytes) => Buffer.from(bytes))
export const port = fc.oneof(fc.nat(65535), fc.constantFrom(0, 443, 40000, ourPorts.first, slot2Port))
const flags = fc.subarray(['FIN', 'SYN', 'RST', 'PSH', 'ACK'] as const)
export const anyDestination = fc.oneof(
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
export const anySource = fc.oneof(
  { weight: 4, arbitrary: fc.constant('10.244.1.7') },
  {
    weight: 1,
    arbitrary: fc.constantFrom('10.244.1.8', '10.244.1.9', '203.0.113.9', '172.18.0.42', '0.0.0.0'),
  },
)

export const ipFields: fc.Arbitrary<IpFields> = fc.record(
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

export type Build = (source: string, destination: string, fields: IpFields) => Buffer

/** How a packet goes on after its IP header. */
export const transport: fc.Arbitrary<Build> = fc.oneof(
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
export const damage: fc.Arbitrary<Damage> = fc.record({
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
export function runnable(packet: Buffer): Buffer {
  const shortest = { 2048: 34, 34525: 54 }[packet.readUInt16BE(12)] ?? 15
  return Buffer.concat([packet, Buffer.alloc(Math.max(0, shortest - packet.length))])
}

export function damaged(packet: Buffer, { cut, bytes }: Damage): Buffer {
  const copy = Buffer.from(
    packet.subarray(0, cut === undefined ? packet.length : Math.max(14, packet.length - cut)),
  )
  for (const { at, value } of bytes) if (at < copy.length) copy.writeUInt8(value, at)
  return runnable(copy)
}

/** None of a packet that damage has made another kind of. */
export function destinationOf(packet: Buffer): string | undefined {
  const type = packet.readUInt16BE(12)
  if (type === 0x0800) return addressFromBytes(Buffer.concat([mapped, packet.subarray(30, 34)]))
  return type === 0x86dd ? addressFromBytes(packet.subarray(38, 54)) : undefined
}

const mapped = Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff])
