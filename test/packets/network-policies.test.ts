import assert from 'node:assert/strict'
import { before, beforeEach, describe, test } from 'node:test'
import fc from 'fast-check'
import type { Desired } from '../../src/datapath/desired.ts'
import { readEgressRestriction } from '../../src/decide/policies/network-policies.ts'
import { NetworkSets } from '../../src/decide/policies/network-sets.ts'
import { type NaiveEgress, type NaivePacket, naiveAllows } from '../support/naive-network-policies.ts'
import { packet, policies } from '../support/random-network-policies.ts'
import { type NodeUnderTest, openNode, prefix, reset, send, skip, standardTables } from './node-under-test.ts'
import { address, ipv4, ipv6, protocolNumber } from './packet.ts'

const syn = { flags: ['SYN'] } as const
const ack = { flags: ['ACK'] } as const
const refused = 'DROP_NETWORK_POLICY'

/** The node's tables, with NetworkPolicies of these egress rules for each pod. */
function restricted(node: NodeUnderTest, egresses: readonly (readonly NaiveEgress[])[]): Desired {
  const sets = new NetworkSets()
  const { id } = sets.setOf(
    egresses.flatMap(
      (egress, index) =>
        readEgressRestriction(
          { namespace: 'default', name: `n${index}` },
          { policyTypes: ['Egress'], egress },
        ) ?? [],
    ),
  )
  const tables = standardTables(node)
  const pods = new Map([...tables.pods].map(([ip, pod]) => [ip, { ...pod, networkSet: id }]))
  const cluster = new Map([...tables.cluster, [prefix('192.0.2.0/24'), { kind: 'routed' }] as const])
  return { ...tables, ...sets.tables, pods, cluster }
}

const partner: readonly NaiveEgress[] = [
  {
    to: [{ ipBlock: { cidr: '203.0.113.0/24', except: ['203.0.113.128/25'] } }],
    ports: [
      { port: 443, endPort: 450 },
      { protocol: 'UDP', port: 53 },
    ],
  },
  { to: [{ ipBlock: { cidr: '198.51.100.0/24' } }] },
  { to: [{ ipBlock: { cidr: '192.0.2.128/25' } }], ports: [{ port: 443 }] },
]

const pod = (destination: string, fields = {}) => ipv4('10.244.1.7', destination, fields)
const other = (destination: string) => ipv4('10.244.1.8', destination)

describe('a pod that NetworkPolicies restrict', { skip }, () => {
  let node: NodeUnderTest
  before(() => {
    node = openNode()
  })
  beforeEach(async () => {
    await reset(node)
    await node.datapath.apply(restricted(node, [partner]))
  })
  const verdictOf = (sent: Buffer, device: 'pod7' | 'pod8' = 'pod7') =>
    send(node, 'from_pod', node.devices[device], sent).verdict

  const cases: readonly {
    readonly name: string
    readonly packet: Buffer
    readonly device?: 'pod8'
    readonly verdict: string
  }[] = [
    { name: 'reaches the first port of a range', packet: pod('203.0.113.9').tcp(40000, 443, syn), verdict: 'SENT_TO_HOLDER' },
    { name: 'reaches the last port of it', packet: pod('203.0.113.9').tcp(40000, 450, syn), verdict: 'SENT_TO_HOLDER' },
    { name: 'does not reach the port before', packet: pod('203.0.113.9').tcp(40000, 442, syn), verdict: refused },
    { name: 'does not reach the port after', packet: pod('203.0.113.9').tcp(40000, 451, syn), verdict: refused },
    { name: 'does not reach the port by another protocol', packet: pod('203.0.113.9').udp(40000, 443), verdict: refused },
    { name: 'reaches the port of that protocol', packet: pod('203.0.113.9').udp(40000, 53), verdict: 'SENT_TO_HOLDER' },
    { name: 'sends no ICMP where a rule has ports', packet: pod('203.0.113.9').echo('request', 77), verdict: refused },
    { name: 'sends ICMP where a rule has none', packet: pod('198.51.100.9').echo('request', 77), verdict: 'SENT_TO_WORLD' },
    { name: 'does not reach what is excepted', packet: pod('203.0.113.129').tcp(40000, 443, syn), verdict: refused },
    { name: 'does not reach what no rule names', packet: pod('8.8.8.8').tcp(40000, 443, syn), verdict: refused },
    { name: 'does not reach the other family', packet: ipv6('fd00:1::7', '2001:db8:ffff::9').tcp(40000, 443, syn), verdict: refused },
    { name: 'reaches what is allowed with the address of its node, if no egress policy selects it', device: 'pod8', packet: other('203.0.113.9').tcp(40000, 443, syn), verdict: 'SENT_TO_WORLD_MASQUERADED' },
    { name: 'reaches nothing else with it', device: 'pod8', packet: other('203.0.113.9').tcp(40000, 80, syn), verdict: refused },
    { name: 'does not reach a metadata service', device: 'pod8', packet: other('169.254.169.254').tcp(40000, 80, syn), verdict: refused },
    { name: 'reaches pods, which are no destination outside', packet: pod('10.244.2.9').tcp(40000, 80, syn), verdict: 'SENT_TO_NODE' },
    { name: 'reaches Services', packet: pod('10.96.0.1').tcp(40000, 80, syn), verdict: 'PASS_TO_STACK' },
    { name: 'reaches nodes', packet: pod('172.18.0.4').tcp(40000, 80, syn), verdict: 'SENT_TO_NODE' },
    { name: 'learns why a packet of no flow is dropped', packet: pod('203.0.113.9').tcp(40000, 80, ack), verdict: 'DROP_NO_MAPPING' },
    { name: 'learns why a protocol cannot be translated', packet: pod('203.0.113.9').raw(protocolNumber.gre, Buffer.alloc(20)), verdict: 'DROP_UNSUPPORTED_PROTOCOL' },
  ] // biome-ignore format: a table
  for (const { name, device, packet: sent, verdict } of cases)
    test(name, () => assert.equal(verdictOf(sent, device), verdict))

  test('reaches what is routed untranslated by the same rules, with every packet of a connection', () => {
    assert.equal(verdictOf(pod('192.0.2.129').tcp(40000, 443, syn)), 'PASS_TO_STACK')
    assert.equal(verdictOf(pod('192.0.2.129').tcp(40000, 443, ack)), 'PASS_TO_STACK')
    assert.equal(verdictOf(pod('192.0.2.129').tcp(40000, 80, syn)), refused)
    assert.equal(verdictOf(pod('192.0.2.9').tcp(40000, 443, ack)), refused)
  })

  test('leaves no trace of connections from where packets are routed, unless it is restricted', async () => {
    await node.datapath.apply({ ...restricted(node, [partner]), pods: standardTables(node).pods })
    send(node, 'to_pod', node.devices.pod7, ipv4('192.0.2.9', '10.244.1.7').tcp(50000, 8080, syn))
    assert.deepEqual([...node.datapath.tables.inbound.entries()], [])
    assert.equal(verdictOf(pod('192.0.2.9').tcp(40000, 443, syn)), 'PASS_TO_STACK')
  })

  test('replies to a connection from outside, whatever its rules say', () => {
    for (const [from, verdict] of [
      ['8.8.8.8', 'PASS_REPLY'],
      ['192.0.2.9', 'PASS_TO_STACK'],
    ] as const) {
      const request = ipv4(from, '10.244.1.7').tcp(50000, 8080, syn)
      assert.equal(send(node, 'to_pod', node.devices.pod7, request).verdict, 'PASS_TO_STACK')
      assert.equal(verdictOf(pod(from).tcp(8080, 50000, { flags: ['SYN', 'ACK'] })), verdict)
    }
  })

  test('keeps its open connection when its NetworkPolicies change, and opens no other', async () => {
    assert.equal(verdictOf(pod('203.0.113.9').tcp(40000, 443, syn)), 'SENT_TO_HOLDER')
    await node.datapath.apply(restricted(node, [[]]))
    assert.equal(verdictOf(pod('203.0.113.9').tcp(40000, 443, ack)), 'SENT_TO_HOLDER')
    assert.equal(verdictOf(pod('203.0.113.9').tcp(40001, 443, syn)), refused)
    const [[, mapping] = []] = [...node.datapath.tables.mappings.entries()]
    const answer = ipv4('203.0.113.9', '172.18.0.42').tcp(443, mapping?.egress_port ?? 0, { flags: ['ACK'] })
    const back = { vni: 3, node: '172.18.0.4' } as const
    assert.equal(send(node, 'from_overlay', node.devices.world, answer, back).verdict, 'SENT_TO_POD')
  })

  test('sends the later fragments of a datagram whose first was allowed, and no others', () => {
    const fragment = (id: number, port: number, offset: number) => {
      const part = pod('203.0.113.9', { fragment: { id, offset, hasMore: offset === 0 } })
      return offset === 0 ? part.udp(40000, port, Buffer.alloc(64)) : part.raw(17, Buffer.alloc(8))
    }
    assert.equal(verdictOf(fragment(1, 53, 0)), 'SENT_TO_HOLDER')
    assert.equal(verdictOf(fragment(1, 53, 72)), 'SENT_TO_HOLDER')
    assert.equal(verdictOf(fragment(2, 54, 0)), refused)
    assert.equal(verdictOf(fragment(2, 54, 72)), 'DROP_NO_MAPPING')
  })

  test('reaches nothing if an entry is missing', async () => {
    const tables = restricted(node, [partner])
    await node.datapath.apply({ ...tables, portLists: new Map() })
    assert.equal(verdictOf(pod('203.0.113.9').tcp(40000, 443, syn)), refused)
    await node.datapath.apply({ ...tables, networkRules: new Map() })
    assert.equal(verdictOf(pod('198.51.100.9').tcp(40000, 443, syn)), refused)
  })

  test('has its refused flows counted for the egress policy that selects them', () => {
    const { policy_drops } = node.datapath.tables
    const count = () =>
      [...policy_drops.entries()].find(([key]) => key.policy === 7n && key.verdict === refused)?.[1] ?? 0n
    const before = count()
    verdictOf(pod('203.0.113.9').tcp(40000, 80, syn))
    assert.equal(count(), before + 1n)
  })

  test('reaches what the oracle says, for random rules and packets', async () => {
    await fc.assert(
      fc.asyncProperty(
        policies,
        fc.array(packet, { minLength: 1, maxLength: 12 }),
        async (egresses, packets) => {
          await reset(node)
          const tables = restricted(node, egresses)
          const everything = { action: 'egress', policy: 7n } as const
          const rules = new Map([
            [
              1n,
              new Map([
                [prefix('0.0.0.0/0'), { ...everything, group: 2n }],
                [prefix('::/0'), { ...everything, group: 4n }],
              ]),
            ],
          ])
          await node.datapath.apply({ ...tables, rules })
          for (const sent of packets.filter(({ protocol }) => protocol !== 'SCTP'))
            assert.equal(
              verdictOf(asPacket(sent)) !== refused,
              naiveAllows(egresses, sent),
              JSON.stringify(sent),
            )
        },
      ),
      { numRuns: 60 },
    )
  })
})

function asPacket({ destination, protocol, port }: NaivePacket): Buffer {
  const isIpv6 = address(destination).includes(':')
  const ip = isIpv6 ? ipv6('fd00:1::7', destination) : ipv4('10.244.1.7', destination)
  if (protocol === 'TCP') return ip.tcp(40000, port, syn)
  if (protocol === 'UDP') return ip.udp(40000, port)
  return ip.echo('request', 77)
}
