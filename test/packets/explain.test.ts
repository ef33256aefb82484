import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import fc from 'fast-check'
import { DryRuns } from '../../src/agent/api/explain/dry-runs.ts'
import { type ExplainParts, explainFlow } from '../../src/agent/api/explain/explain-flow.ts'
import type { ExplainRequest, Explanation } from '../../src/agent/api/explain/explanation.ts'
import { planDatapath } from '../../src/agent/plan.ts'
import type { Attachment } from '../../src/agent/pods/attachments.ts'
import { openingFlow, openingPacket } from '../../src/datapath/dry-run/opening-packet.ts'
import { type RawMap, readEntries } from '../../src/datapath/maps/maps.ts'
import { readEgressRestriction } from '../../src/decide/policies/network-policies.ts'
import { resolve } from '../../src/decide/resolve.ts'
import type { Tables } from '../../src/decide/tables.ts'
import type { World } from '../../src/decide/world.ts'
import { Netlink } from '../../src/linux/netlink.ts'
import { lookUpRoute } from '../../src/linux/route-lookup.ts'
import { type Address, familyOf } from '../../src/net/address.ts'
import { policies as networkPolicies } from '../support/random-network-policies.ts'
import { anyWorld, destinations, destinations6 } from '../support/random-worlds.ts'
import { isovalentPolicy } from '../support/world-builder.ts'
import { mac, type NodeUnderTest, openNode, send, skip } from './node-under-test.ts'
import { address } from './packet.ts'

/*
 * What `explain` says of a flow's first packet, against the program that such a packet then meets: in worlds of random policies, labels,
 * gateways, NetworkPolicies and full pools, on the tables that the real decision makes of them.
 */
const situations = 110

const inCluster = [
  '10.244.1.1',
  '172.18.0.19',
  '172.18.0.20',
  '10.96.0.1',
  '169.254.1.1',
  '224.1.1.1',
  '172.18.1.1',
]
const request = fc.record({
  pod: fc.constantFrom('p0', 'p1', 'p2'),
  to: fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom(...destinations, ...destinations6) },
    { weight: 1, arbitrary: fc.constantFrom(...inCluster) },
  ),
  port: fc.constantFrom(53, 443, 8472, 32900),
  protocol: fc.constantFrom('tcp' as const, 'udp' as const, 'icmp' as const),
})

const everywhere = { selectors: [{ podSelector: {} }], destinationCIDRs: ['0.0.0.0/0', '::/0'] }
const onlyWorker = { matchLabels: { 'kubernetes.io/hostname': 'worker' } }

const situation = fc.record({
  world: anyWorld,
  restrictions: fc.oneof(
    { weight: 3, arbitrary: fc.constant(undefined) },
    { weight: 1, arbitrary: networkPolicies },
  ),
  /** A policy for all pods, younger than the others. */
  extra: fc.constantFrom(
    undefined,
    isovalentPolicy('extra', { born: 9, ...everywhere, egressGroups: [{ nodeSelector: {} }] }),
    isovalentPolicy('extra', {
      born: 9,
      ...everywhere,
      egressGroups: [{ nodeSelector: {}, maxGatewayNodes: 1 }],
    }),
    isovalentPolicy('extra', { born: 9, ...everywhere, egressGroups: [{ nodeSelector: onlyWorker }] }),
  ),
  mode: fc.constantFrom('enforce' as const, 'enforce' as const, 'refuse' as const, 'bypass' as const),
  /** By the last digit of a gateway's address. */
  probes: fc.array(fc.constantFrom('answered', 'silent', 'silent', 'flapping', 'not probed'), {
    minLength: 10,
    maxLength: 10,
  }),
  /** How much of each pool is in use towards the destination. */
  full: fc.constantFrom(0, 0, 0, 0.5, 1),
  requests: fc.array(request, { minLength: 3, maxLength: 3 }),
})
type Situation = typeof situation extends fc.Arbitrary<infer T> ? T : never

function worldOf({ world, restrictions = [], mode, extra }: Situation, isChained: boolean): World {
  const given = restrictions.flatMap(
    (egress, index) =>
      readEgressRestriction(
        { namespace: 'default', name: `n${index}` },
        { podSelector: {}, policyTypes: ['Egress'], egress },
      ) ?? [],
  )
  return {
    ...world,
    isovalentPolicies: [...world.isovalentPolicies, ...(extra === undefined ? [] : [extra])],
    networkPolicies: given,
    settings: { ...world.settings, isChained, networkPolicies: mode },
  }
}

for (const isChained of [false, true])
  describe(isChained ? 'in chained mode, explain' : 'stand-alone, explain', { skip }, () => {
    let node: NodeUnderTest
    let netlink: Netlink
    let dryRuns: DryRuns
    const timers: (() => void)[] = []
    before(() => {
      node = openNode({ chained: Number(isChained) })
      netlink = new Netlink()
      dryRuns = new DryRuns(node.datapath, {
        after: (_ms, run) => {
          timers.push(run)
          return () => {}
        },
      })
    })
    after(async () => {
      timers.at(-1)?.()
      netlink[Symbol.dispose]()
      await node.datapath[Symbol.asyncDispose]()
    })

    const attachmentsOf = (world: World): readonly Attachment[] =>
      world.pods.map(({ name, uid, namespace, ips }, index) => ({
        ...{ containerId: name, interfaceName: 'eth0', device: name, sinceNs: 1n },
        pod: { namespace, name, uid },
        addresses: ips,
        wired: {
          ifindex: [node.devices.pod7, node.devices.pod8, node.devices.pod9][index] ?? 0,
          ...{ mac: mac.pod7, hostMac: mac.host7 },
        },
      }))

    async function arrange(given: Situation): Promise<ExplainParts> {
      const world = worldOf(given, isChained)
      const tables = resolve(world)
      const attachments = attachmentsOf(world)
      const overlay = { ifindex: node.devices.world, mac: mac.overlay, mtu: 1450 }
      const nowhere = { lingering: new Map(), unusable: new Set<Address>(), bound: new Map() }
      const desired = planDatapath(tables, attachments, overlay, nowhere)
      await node.datapath.apply(desired)
      forgetFlows(node)
      answerProbes(node, tables, given.probes)
      return {
        ...{ world, tables, desired, attachments, dryRuns },
        datapath: node.datapath,
        isHypothetical: false,
        configuration: {
          isChained,
          servicesByStack: false,
          forwardsByStack: false,
          tunnelPort: 8472,
          maxPortsPerPod: 0,
        },
        sharesAddress: false,
        nowNs: () => process.hrtime.bigint(),
        random: Math.random,
        route: (destination) => lookUpRoute(netlink, { destination }),
        deviceName: () => 'world',
      }
    }

    const seen = new Map<string, number>()
    test('says what the program then does, in every situation', async () => {
      await fc.assert(
        fc.asyncProperty(situation, async (given) => {
          const parts = await arrange(given)
          for (const each of given.requests) {
            const asked = { ...each, namespace: 'default' }
            if (parts.world.pods.every(({ name }) => name !== each.pod)) continue
            fillPools(node, parts.tables, asked, given.full)
            const before = everything(node)
            const said = await explainFlow(parts, asked)
            assert.deepEqual(everything(node), before, 'explain leaves no trace')
            check(said, realEnding(node, parts, asked))
            const kind = said.program.verdict
            seen.set(kind, (seen.get(kind) ?? 0) + 1)
          }
        }),
        { numRuns: situations, endOnFailure: true },
      )
      const endings = ['DROP_NO_EGRESS_IP', 'DROP_NETWORK_POLICY', 'SENT_TO_HOLDER', 'DROP_NO_FREE_PORT']
      const alone = ['SENT_TO_WORLD_MASQUERADED', 'SENT_TO_WORLD', 'DROP_NO_ROUTE']
      for (const kind of [...endings, ...(isChained ? ['PASS_NOT_SELECTED'] : alone)])
        assert.ok((seen.get(kind) ?? 0) > 0, `the situations are too tame: ${JSON.stringify([...seen])}`)
    })
  })

function check(
  said: Explanation,
  real: { readonly verdict: string; readonly egressIp: string | undefined },
): void {
  const { decision, program, agrees } = said
  const context = JSON.stringify({ said, real })
  assert.ok(agrees, `the program and the decision disagree: ${context}`)
  if (decision.isOpen !== undefined) return
  assert.ok(decision.verdicts.includes(real.verdict), `the wire shows something else: ${context}`)
  if (decision.verdicts.length === 1) assert.equal(program.verdict, real.verdict)
  if (real.egressIp !== undefined)
    assert.ok(
      decision.egressIps.some((each) => each === real.egressIp),
      context,
    )
}

let lastPort = 10_000

function realEnding(node: NodeUnderTest, { attachments }: ExplainParts, asked: ExplainRequest) {
  const attachment = attachments.find(({ pod }) => pod.name === asked.pod)
  const to = address(asked.to)
  const from = attachment?.addresses.find((each) => familyOf(each) === familyOf(to))
  if (attachment?.wired === undefined || from === undefined) throw new Error(`${asked.pod} has no address`)
  lastPort = lastPort === 30_000 ? 10_000 : lastPort + 1
  const flow = openingFlow(from, to, { ...asked, sourcePort: lastPort })
  const packet = openingPacket(flow, { to: mac.host7, from: mac.pod7 })
  const { verdict } = send(node, 'from_pod', attachment.wired.ifindex, packet)
  return { verdict, egressIp: node.datapath.tables.mappings.get(flow)?.egress_ip }
}

function forgetFlows({ datapath }: NodeUnderTest): void {
  const { mappings, ports, pod_flows } = datapath.tables
  for (const [key] of [...mappings.entries()]) mappings.delete(key)
  for (const [key] of [...ports.entries()]) ports.delete(key)
  for (const [key] of [...pod_flows.entries()]) pod_flows.delete(key)
}

const far = 3_600_000_000_000n

function answerProbes({ datapath }: NodeUnderTest, tables: Tables, probes: readonly string[]): void {
  const { liveness, probed_gateways } = datapath.tables
  const now = process.hrtime.bigint()
  liveness.set(0, { alive_until_ns: now + far, probing_until_ns: now + far })
  for (const [key] of [...probed_gateways.entries()]) probed_gateways.delete(key)
  for (const tunnelAddress of tables.nodes.keys()) {
    const probe = probes[Number(tunnelAddress.at(-1))]
    if (probe === 'not probed' || probe === undefined || tunnelAddress === tables.self.tunnelAddress) continue
    probed_gateways.set(tunnelAddress, {
      answered_ns: probe === 'silent' ? 0n : now + far,
      refused_ns: 0n,
      flapping_until_ns: probe === 'flapping' ? now + far : 0n,
    })
  }
}

/** Flows of another client of the node have this part of each pool, towards the destination of the request. */
function fillPools({ datapath }: NodeUnderTest, tables: Tables, asked: ExplainRequest, full: number): void {
  const { mappings, ports } = datapath.tables
  const to = address(asked.to)
  const client = address(familyOf(to) === 4 ? '10.244.1.0' : 'fd00::')
  const now = process.hrtime.bigint()
  let clientPort = 1024
  for (const { address: egressIp, blocks, purpose } of tables.pools) {
    if (familyOf(egressIp) !== familyOf(to)) continue
    const all = blocks.flatMap((block) => Array.from({ length: 16 }, (_, index) => block * 16 + index))
    if (all.length > 128) continue
    for (const port of all.slice(0, Math.round(all.length * full))) {
      const flow = openingFlow(client, to, { ...asked, sourcePort: ++clientPort })
      mappings.set(flow, {
        ...{
          reclaimed: false,
          egress_ip: egressIp,
          egress_port: port,
          state: [],
          masqueraded: purpose === 'masquerade',
        },
        ...{
          through_stack: false,
          through_service: false,
          fin_out_end: 0,
          fin_in_end: 0,
          acknowledged: 0,
          policy: 0n,
        },
        ...{ created_ns: now, last_outward_ns: now, last_inward_ns: now, closed_ns: 0n },
        ...{ packets_out: 1n, packets_in: 1n, bytes_out: 60n, bytes_in: 60n },
      })
      ports.set({ ...flow, source: egressIp, source_port: port }, flow)
    }
  }
}

/** Every byte of the maps that a flow may change, and the counters. */
function everything({ datapath }: NodeUnderTest): unknown {
  const { mappings, ports, pod_flows, policy_drops, pool_pressures, inbound, fragments } = datapath.tables
  const maps: readonly { readonly raw: RawMap }[] = [
    mappings,
    ports,
    pod_flows,
    policy_drops,
    pool_pressures,
    inbound,
    fragments,
  ]
  return [
    datapath.counts(),
    maps.map(({ raw }) =>
      [...readEntries(raw)].map(([key, value]) => `${key} ${value.toString('latin1')}`).sort(),
    ),
  ]
}
