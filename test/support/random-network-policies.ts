import fc from 'fast-check'
import type { NaiveEgress, NaivePacket } from './naive-network-policies.ts'

/*
 * Egress rules of few values, so that they meet: nested and equal prefixes, exceptions inside others, ports that overlap and
 * touch.
 */

const nested = [
  '0.0.0.0/0',
  '198.0.0.0/7',
  '198.51.100.0/24',
  '198.51.100.128/25',
  '198.51.100.7/32',
] as const
const nested6 = ['::/0', '2001:db8::/32', '2001:db8:eeee::/48', '2001:db8:eeee::7/128'] as const

const ipBlock = fc
  .constantFrom<readonly string[]>(nested, nested6)
  .chain((prefixes) =>
    fc.tuple(fc.constant(prefixes), fc.nat(prefixes.length - 1)).chain(([all, index]) =>
      fc.record({
        cidr: fc.constant(all[index] ?? ''),
        except: fc.subarray(all.slice(index + 1)),
      }),
    ),
  )
  .map((block) => ({ ipBlock: block }))

const peer = fc.oneof(
  { weight: 6, arbitrary: ipBlock },
  { weight: 1, arbitrary: fc.constant({ podSelector: {} }) },
  { weight: 1, arbitrary: fc.constant({ namespaceSelector: {} }) },
)

const port = fc
  .record(
    {
      protocol: fc.constantFrom('TCP', 'UDP', 'SCTP'),
      port: fc.constantFrom(1, 53, 80, 81, 443, 65535),
      length: fc.constantFrom(0, 1, 27, 400),
    },
    { requiredKeys: [] },
  )
  .map(({ length, ...rest }) =>
    rest.port === undefined || length === undefined
      ? rest
      : { ...rest, endPort: Math.min(rest.port + length, 65535) },
  )

const rule: fc.Arbitrary<NaiveEgress> = fc
  .record(
    { to: fc.array(peer, { maxLength: 3 }), ports: fc.array(port, { maxLength: 3 }) },
    { requiredKeys: [] },
  )
  .filter(({ to = [], ports = [] }) => to.length > 0 || ports.length > 0)

/** The egress rules of the NetworkPolicies that select one pod. None allows everything. */
export const policies: fc.Arbitrary<readonly (readonly NaiveEgress[])[]> = fc.array(
  fc.array(rule, { maxLength: 3 }),
  { minLength: 1, maxLength: 3 },
)

const destinations = [
  ...['198.51.100.7', '198.51.100.8', '198.51.100.129', '198.50.0.1', '203.0.113.9', '199.255.255.255'],
  ...['2001:db8:eeee::7', '2001:db8:eeee::8', '2001:db8:1::1', '2001:db9::1'],
]

export const packet: fc.Arbitrary<NaivePacket> = fc.record({
  destination: fc.constantFrom(...destinations),
  protocol: fc.constantFrom('TCP' as const, 'UDP' as const, 'SCTP' as const, 'ICMP' as const),
  port: fc.constantFrom(1, 52, 53, 54, 79, 80, 81, 82, 107, 108, 443, 482, 843, 844, 65534, 65535),
})
