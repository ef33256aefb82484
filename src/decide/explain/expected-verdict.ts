import { type Address, familyOf } from '../../net/address.ts'
import { blockOfPort } from '../../net/ports.ts'
import { contains, longestMatch, type Prefix } from '../../net/prefix.ts'
import { allowsFlow } from '../flow-verdicts.ts'
import type { Endpoint, Group, Pool, Rule, Tables } from '../tables.ts'
import {
  clusterDestination,
  isOfService,
  refusalTo,
  type ServiceChoice,
  type ServiceKey,
  serviceChoice,
} from './expected-service.ts'

/*
 * How the datapath's program from_pod ends for the first packet of a flow, by the decision alone: the tables, and what this node knows
 * of gateways, routes and ports. `explain` compares it with the program itself. What depends on chance has several endings.
 */

/** A flow that a pod of this node opens. */
export interface OpeningFlow {
  readonly source: Address
  readonly destination: Address
  /** IPPROTO_*. */
  readonly protocol: number
  /** Of the destination; 0 for echo requests. */
  readonly port: number
}

/** How this node's probes see a gateway. A flapping one is used only if no better one is reachable. */
export type Reachability = 'reachable' | 'flapping' | 'unreachable'

export interface PortUse {
  /** Ports that this node may use for the flow, towards its destination. */
  readonly owned: number
  readonly inUse: number
  /** Of those in use: their flows may be over, and then the flow may get the port. */
  readonly reclaimable: number
}

/** What the tables do not say. */
export interface NodeFacts {
  readonly isChained: boolean
  readonly servicesByStack: boolean
  readonly replacesKubeProxy: boolean
  readonly forwardsByStack: boolean
  readonly sharesAddress: boolean
  readonly tunnelPort: number
  /** Addresses of pods that have a device here, whether they are in the tables yet or not. */
  readonly podAddresses: ReadonlySet<Address>
  readonly reachability: (tunnelAddress: Address) => Reachability
  /** Whether packets for the gateway need no tunnel now. */
  readonly takesLink: (tunnelAddress: Address) => boolean
  /** The gateways of each egress IP as the kernel has them, by tunnel address: with those that linger, without those in conflict. */
  readonly orderOf: (egressIp: Address) => readonly Address[]
  readonly portsOf: (address: Address, purpose: Pool['purpose']) => PortUse
  /** Whether the pod has as many flows of the egress IP as it may have. */
  readonly isAtLimit: (egressIp: Address) => boolean
  /** Whether this node has a route to the destination for packets with this source address. */
  readonly hasRoute: (source: Address) => boolean
  /** By session affinity: the endpoint of the pod's last flow to this port of a Service, if that was not too long ago. */
  readonly lastEndpoint: (service: ServiceKey) => Endpoint | undefined
}

export interface Expected {
  /** The verdicts that are possible, by the names of bpf/types.h. */
  readonly verdicts: ReadonlySet<string>
  /** The addresses that the flow may get. */
  readonly egressIps: ReadonlySet<Address>
  /** The rule for the destination, also if something else decides before it. Link-local destinations have none. */
  readonly rule?: { readonly prefix: Prefix } & Rule
  /** Why the decision alone cannot say how the packet ends. */
  readonly isOpen?: string
  /** If Sallyport translates the destination, because it is a Service. */
  readonly service?: ServiceChoice
}

type Ending = Pick<Expected, 'verdicts' | 'egressIps' | 'isOpen'>

const end = (...verdicts: readonly string[]): Ending => ({
  verdicts: new Set(verdicts),
  egressIps: new Set(),
})
const open = (why: string): Ending => ({ ...end(), isOpen: why })

/**
 * If the destination is a Service, this is about the flow that gets `endpoint`. If it cannot get that one, the first that it may get
 * is taken.
 */
export function expectedVerdict(
  tables: Tables,
  flow: OpeningFlow,
  facts: NodeFacts,
  endpoint?: Endpoint,
): Expected {
  const pod = tables.podsByIp.get(flow.source)
  if (pod === undefined || !facts.podAddresses.has(flow.source)) return end('DROP_UNKNOWN_POD')
  const service = serviceChoice(tables, pod.policySet, flow, facts)
  if (service === undefined) return byDestination(tables, pod, flow, facts)
  if (service.refusal !== undefined) return { ...end(service.refusal), service }
  const { address, port } =
    service.eligible.find((each) => each.address === endpoint?.address && each.port === endpoint.port) ??
    (service.eligible[0] as Endpoint)
  if (!facts.isChained && address === flow.source) return { ...end('SENT_TO_POD'), service }
  return { ...byDestination(tables, pod, { ...flow, destination: address, port }, facts), service }
}

function byDestination(
  tables: Tables,
  { policySet, networkSet }: { readonly policySet: bigint; readonly networkSet: bigint },
  flow: OpeningFlow,
  facts: NodeFacts,
): Expected {
  const rule = matchingRule(tables, policySet, flow.destination)
  const selected = rule?.action === 'exclude' ? undefined : rule
  const ending =
    refusedTunnel(tables, flow, facts) ??
    withinCluster(tables, networkSet, flow, facts) ??
    leftAlone(selected, flow, facts) ??
    leaving(tables, networkSet, selected, flow, facts)
  return { ...ending, ...(rule === undefined ? {} : { rule }) }
}

function matchingRule(tables: Tables, policySet: bigint, destination: Address): Expected['rule'] {
  const rules = isNear(destination) ? undefined : tables.rules.get(policySet)
  const prefix = longestMatch(rules?.keys() ?? [], destination)
  const rule = prefix === undefined ? undefined : rules?.get(prefix)
  return prefix === undefined || rule === undefined ? undefined : { prefix, ...rule }
}

function refusedTunnel(tables: Tables, flow: OpeningFlow, facts: NodeFacts): Ending | undefined {
  const udp = 17
  if (flow.protocol !== udp || flow.port !== facts.tunnelPort) return undefined
  if (facts.podAddresses.has(flow.destination)) return undefined
  const kind = clusterDestination(tables, flow.destination)?.kind
  if (kind !== undefined && !(facts.isChained && kind !== 'stack')) return undefined
  return end('DROP_TUNNEL_PORT')
}

function withinCluster(
  tables: Tables,
  networkSet: bigint,
  flow: OpeningFlow,
  { isChained, servicesByStack, replacesKubeProxy, podAddresses }: NodeFacts,
): Ending | undefined {
  if (podAddresses.has(flow.destination))
    return end(isChained || servicesByStack ? 'PASS_TO_STACK' : 'SENT_TO_POD')
  const found = clusterDestination(tables, flow.destination)
  if (replacesKubeProxy && (found?.kind ?? 'stack') === 'stack' && isOfService(tables, flow.destination))
    return end(refusalTo(flow.protocol))
  if (found === undefined || ('carriesFlows' in found && hasOwner(tables, flow))) return undefined
  if (found.kind === 'host') return end('PASS_TO_HOST')
  if (found.kind === 'routed')
    return end(allowsFlow(tables, networkSet, flow) ? 'PASS_TO_STACK' : 'DROP_NETWORK_POLICY')
  return end(isChained || found.kind === 'stack' || servicesByStack ? 'PASS_TO_STACK' : 'SENT_TO_NODE')
}

/** Whether a flow may have the destination's port, because the destination is an egress IP. */
function hasOwner(tables: Tables, { destination, port }: OpeningFlow): boolean {
  const owner = tables.egressIps.get(destination)?.blockOwner[blockOfPort(port)]
  return owner !== undefined && owner !== 'stack'
}

function leftAlone(rule: Rule | undefined, flow: OpeningFlow, { isChained }: NodeFacts): Ending | undefined {
  if (isChained && rule === undefined) return end('PASS_NOT_SELECTED')
  return isMulticast(flow.destination) ? end('DROP_MULTICAST') : undefined
}

function leaving(
  tables: Tables,
  networkSet: bigint,
  rule: Rule | undefined,
  flow: OpeningFlow,
  facts: NodeFacts,
): Ending {
  if (!allowsFlow(tables, networkSet, flow)) return end('DROP_NETWORK_POLICY')
  if (rule?.action === 'drop') return end(rule.reason)
  if (rule?.action === 'egress') {
    const served = servedAddresses(tables.groups.get(rule.group), tables.self.tunnelAddress, facts)
    return united(
      served.map((each) =>
        each === undefined ? end('DROP_NO_LIVE_GATEWAY') : byEgressIp(tables, each, flow, facts),
      ),
    )
  }
  const own = familyOf(flow.source) === 4 ? tables.self.masquerade4 : tables.self.masquerade6
  if (own === undefined) return end('DROP_NO_EGRESS_IP')
  return withPort(own, 'masquerade', facts, outHere(tables, own, flow, facts, 'SENT_TO_WORLD_MASQUERADED'))
}

function united(endings: readonly Ending[]): Ending {
  const open = endings.find(({ isOpen }) => isOpen !== undefined)?.isOpen
  return {
    verdicts: new Set(endings.flatMap(({ verdicts }) => [...verdicts])),
    egressIps: new Set(endings.flatMap(({ egressIps }) => [...egressIps])),
    ...(open === undefined ? {} : { isOpen: open }),
  }
}

/** How many egress IPs of a rank a new flow tries: GROUP_TRIES of bpf/types.h. */
export const groupTries = 16

/**
 * The egress IPs that a new flow may get, as choose_egress_ip of bpf/holder.h chooses: from the first of four passes that finds one.
 * A pass over many addresses tries only some of them, so the next passes may come into play, too. Undefined: none may be found.
 */
function servedAddresses(
  group: Group | undefined,
  self: Address,
  facts: Pick<NodeFacts, 'orderOf' | 'reachability'>,
): readonly (Address | undefined)[] {
  if (group === undefined) return [undefined]
  const byOwner = (address: Address): boolean => {
    const [owner] = facts.orderOf(address)
    return owner !== undefined && (owner === self || facts.reachability(owner) === 'reachable')
  }
  const byAny = (address: Address): boolean =>
    holderOfAddress(facts.orderOf(address), self, facts) !== undefined
  const { preferred, standby, keepsAddress } = group
  const passes = [
    { of: preferred, isServed: byOwner },
    keepsAddress ? { of: preferred, isServed: byAny } : { of: standby, isServed: byOwner },
    keepsAddress ? { of: standby, isServed: byOwner } : { of: preferred, isServed: byAny },
    { of: standby, isServed: byAny },
  ]
  const found: (Address | undefined)[] = []
  for (const { of, isServed } of passes) {
    const served = of.filter(isServed)
    found.push(...served)
    if (served.length > 0 && of.length - served.length < groupTries) return found
  }
  return [...found, undefined]
}

/** Which gateway answers for an egress IP now, by tunnel address: find_holder of bpf/holder.h. */
export function holderOfAddress(
  order: readonly Address[],
  self: Address,
  { reachability }: Pick<NodeFacts, 'reachability'>,
): Address | undefined {
  let flapping: Address | undefined
  for (const gateway of order) {
    if (gateway === self) return self
    const reach = reachability(gateway)
    if (reach === 'reachable') return gateway
    if (reach === 'flapping') flapping ??= gateway
  }
  return flapping
}

function byEgressIp(tables: Tables, egressIp: Address, flow: OpeningFlow, facts: NodeFacts): Ending {
  const holder = holderOfAddress(facts.orderOf(egressIp), tables.self.tunnelAddress, facts)
  if (facts.isAtLimit(egressIp)) return end('DROP_POD_LIMIT')
  const way =
    holder === undefined
      ? end('DROP_NO_LIVE_GATEWAY')
      : holder === tables.self.tunnelAddress
        ? outHere(tables, egressIp, flow, facts, 'SENT_TO_WORLD')
        : end(facts.takesLink(holder) ? 'SENT_TO_HOLDER_BY_LINK' : 'SENT_TO_HOLDER')
  return withPort(egressIp, 'egress', facts, way)
}

/** The program tries 32 random ports for a flow. If flows use more than a quarter of the ports, all 32 may be in use. */
function withPort(address: Address, purpose: Pool['purpose'], facts: NodeFacts, way: Ending): Ending {
  const { owned, inUse, reclaimable } = facts.portsOf(address, purpose)
  const found: Ending = { ...way, egressIps: new Set([address]) }
  if (inUse - reclaimable >= owned) return end('DROP_NO_FREE_PORT')
  return inUse * 4 > owned ? united([found, end('DROP_NO_FREE_PORT')]) : found
}

function outHere(tables: Tables, source: Address, flow: OpeningFlow, facts: NodeFacts, sent: string): Ending {
  if (hasOwner(tables, flow))
    return open('the destination is an egress IP, and its port may belong to a flow of another pod')
  if (facts.forwardsByStack) return end('SENT_THROUGH_STACK')
  if (!facts.hasRoute(source)) return end('DROP_NO_ROUTE')
  const isShared =
    facts.sharesAddress && (source === tables.self.masquerade4 || source === tables.self.masquerade6)
  if (!isShared) return end(sent)
  const hasPorts = [6, 17].includes(flow.protocol)
  return hasPorts ? end(sent, 'DROP_PORT_IN_USE') : end('DROP_SHARED_ECHO')
}

const near = [
  '169.254.0.0/16',
  '127.0.0.0/8',
  'fe80::/10',
  '::1/128',
] as readonly string[] as readonly Prefix[]
const multicast = ['224.0.0.0/4', 'ff00::/8'] as readonly string[] as readonly Prefix[]

/** No policy selects these, because no router forwards to them. */
const isNear = (address: Address): boolean => near.some((prefix) => contains(prefix, address))
const isMulticast = (address: Address): boolean => multicast.some((prefix) => contains(prefix, address))
