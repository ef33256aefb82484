import type { EgressNode } from '../../api/egress-node.ts'
import type { FlowKey } from '../../datapath/tables/flow-tables.ts'
import { chosenForNewFlows } from '../../decide/gateways/new-flows.ts'
import type { FindUnserved } from '../../decide/policies/unserved-networks.ts'
import type { Rule, Tables } from '../../decide/tables.ts'
import type { Address } from '../../net/address.ts'
import { longestMatch, type Prefix } from '../../net/prefix.ts'
import type { Attachment } from '../pods/attachments.ts'
import { describeVerdict } from './drop-reasons.ts'
import type { EgressView, GatewayPath } from './local-api.ts'

/** What this node knows about gateways. Gateways are given by name. */
interface GatewayKnowledge {
  /** This node's name. */
  readonly self: string
  /** Gateways to which packets go without a tunnel. */
  readonly byLink: ReadonlySet<string>
  /** Gateways that do not answer this node's probes. */
  readonly unreachable: ReadonlySet<string>
  /** For each egress IP the nodes that report that they have added it to a device. */
  readonly holders: ReadonlyMap<string, ReadonlySet<string>>
  readonly unserved: FindUnserved
}

/** For each pod of this node, what the tables contain and how many flows use it now. */
export function describeEgress(
  tables: Tables,
  attachments: readonly Attachment[],
  mappings: Iterable<OpenFlow>,
  gateways: GatewayKnowledge,
): EgressView[] {
  const { unreachable, holders, unserved } = gateways
  const flows = countFlows(tables, mappings)
  const ordersByIp = namedOrders(tables)
  return attachments.flatMap(({ pod, addresses }) => {
    const set = addresses.map((address) => tables.podsByIp.get(address)).find((found) => found !== undefined)
    return [...(tables.rules.get(set?.policySet ?? 0n) ?? [])].map(([destination, rule]) => {
      const network = rule.action === 'exclude' ? undefined : unserved(destination)
      const group =
        rule.action === 'egress' && network === undefined ? tables.groups.get(rule.group) : undefined
      const chosen = chosenForNewFlows(group, (address) => ordersByIp(address), unreachable)
      return {
        pod: { namespace: pod.namespace, name: pod.name, ips: addresses },
        destination,
        policy: tables.policies.get(rule.policy) ?? { kind: '', name: '' },
        action: network === undefined ? rule.action : 'unserved',
        ...(network === undefined ? reasonOf(rule) : { reason: network.effect }),
        egressIps: (group === undefined ? [] : [...group.preferred, ...group.standby]).map((address) => {
          const order = ordersByIp(address)
          const pool = tables.pools.find((each) => each.address === address && each.purpose === 'egress')
          const holder = holderOf(order, unreachable, holders.get(address))
          return {
            address,
            holder,
            ...pathTo(holder, gateways),
            order,
            unreachable: order.filter((name) => unreachable.has(name)),
            takesNewFlows: chosen.has(address),
            portsOwned: (pool?.blocks.length ?? 0) * 16,
            flows: addresses.reduce(
              (sum, source) => sum + (flows.get(flowsKey(source, destination, address)) ?? 0),
              0,
            ),
          }
        }),
      }
    })
  })
}

function pathTo(
  holder: string | undefined,
  { self, byLink, unreachable }: GatewayKnowledge,
): { readonly path?: GatewayPath['path'] } {
  if (holder === undefined || holder === self || unreachable.has(holder)) return {}
  return { path: byLink.has(holder) ? 'link' : 'tunnel' }
}

/**
 * The gateway that answers for an egress IP now. A successor still holds it for a while after the owner is back, so the
 * report of a reachable successor counts more than the order.
 */
export function holderOf(
  order: readonly string[],
  unreachable: ReadonlySet<string>,
  holders: ReadonlySet<string> = new Set(),
): string | undefined {
  const reachable = order.filter((name) => !unreachable.has(name))
  const successor = reachable.find((name) => name !== order[0] && holders.has(name))
  return successor ?? reachable[0] ?? order[0]
}

/** For each egress IP the nodes that have added it to a device. This node knows its own, and others report theirs. */
export function holdersOf(
  egressNodes: readonly EgressNode[],
  self: { readonly name: string; readonly held: ReadonlySet<Address> },
): ReadonlyMap<string, ReadonlySet<string>> {
  const claims = egressNodes
    .filter(({ metadata }) => metadata.name !== self.name)
    .flatMap(({ metadata: { name }, status }) =>
      (status?.interfaces ?? []).flatMap(({ added = [] }) => added.map((address) => ({ address, name }))),
    )
  const own = [...self.held].map((address) => ({ address, name: self.name }))
  const byAddress = Map.groupBy([...claims, ...own], ({ address }) => address as string)
  return new Map([...byAddress].map(([address, of]) => [address, new Set(of.map(({ name }) => name))]))
}

function reasonOf(rule: Rule): { readonly reason?: string } {
  return rule.action === 'drop' ? { reason: describeVerdict(rule.reason) } : {}
}

/** For each egress IP its owner, then its successors, by name. */
function namedOrders(tables: Tables): (address: Address) => readonly string[] {
  const nameByTunnel = new Map([...tables.nodes].map(([address, { name }]) => [address, name]))
  return (address) =>
    (tables.egressIps.get(address)?.order ?? []).map((each) => nameByTunnel.get(each) ?? each)
}

type OpenFlow = readonly [Pick<FlowKey, 'source' | 'destination'>, { readonly egress_ip: Address }]

function flowsKey(source: Address, destination: Prefix, egressIp: Address): string {
  return `${source} ${destination} ${egressIp}`
}

/** Flows by pod address, destination of the rule that applies to them now, and egress IP. */
function countFlows(tables: Tables, mappings: Iterable<OpenFlow>): ReadonlyMap<string, number> {
  const counts = new Map<string, number>()
  const ruleOf = ruleFinder(tables)
  for (const [{ source, destination }, { egress_ip: egressIp }] of mappings) {
    const prefix = ruleOf(source, destination)
    if (prefix === undefined) continue
    const key = flowsKey(source, prefix, egressIp)
    counts.set(key, (counts.get(key) ?? 0) + 1)
  }
  return counts
}

/** A node may have half a million flows, to few destinations. */
function ruleFinder({ podsByIp, rules }: Tables) {
  const known = new Map<string, Prefix | undefined>()
  return (source: Address, destination: Address): Prefix | undefined => {
    const set = podsByIp.get(source)?.policySet ?? 0n
    const key = `${set} ${destination}`
    if (!known.has(key)) known.set(key, longestMatch(rules.get(set)?.keys() ?? [], destination))
    return known.get(key)
  }
}
