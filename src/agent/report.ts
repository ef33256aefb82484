import { isDeepStrictEqual } from 'node:util'
import type { EgressNode, NodeInterface, SelectedPods } from '../api/egress-node.ts'
import type { Condition } from '../api/metadata.ts'
import { version } from '../api/version.ts'
import type { Membership } from '../decide/gateways/membership.ts'
import { nodeConditions } from '../decide/status/node-conditions.ts'
import { summariseRefusals } from '../decide/status/refusals.ts'
import type { StackUse } from '../decide/status/stack-rules.ts'
import type { Tables } from '../decide/tables.ts'
import type { WorldNode } from '../decide/world.ts'
import type { Resource } from '../kube/client.ts'
import type { Address } from '../net/address.ts'
import type { Reachability } from './failover/failover-views.ts'
import type { NodeDevice } from './node/node-network.ts'

/**
 * What this node can lend to others: its devices that the world may know, with their addresses. Those that the agent has
 * put there stand apart: none of them is the address that a policy means which names the interface.
 */
export function describeInterfaces(
  devices: readonly NodeDevice[],
  held: ReadonlySet<Address>,
): NodeInterface[] {
  return devices
    .filter(({ addresses }) => addresses.length > 0)
    .map((device) => {
      const { name, alternativeNames, addresses, subnets, routers = [], isDefaultRoute } = device
      const problem = interfaceProblem(device)
      const added = addresses.filter((address) => held.has(address))
      return {
        name,
        ...(alternativeNames.length === 0 ? {} : { alternativeNames: [...alternativeNames] }),
        addresses: addresses.filter((address) => !held.has(address)),
        ...(added.length === 0 ? {} : { added }),
        ...(subnets.length === 0 ? {} : { subnets: [...subnets] }),
        ...(routers.length === 0 ? {} : { routers: [...routers] }),
        isDefaultRoute,
        ...(problem === undefined ? {} : { problem }),
      }
    })
}

/** A dummy device only holds addresses: packets with them leave and come in by another one. */
function interfaceProblem({ kind, mac, isUp, hasCarrier }: NodeDevice): NodeInterface['problem'] {
  if (kind === 'dummy' || kind === 'ifb') return undefined
  if (mac === undefined) return 'NoEthernetHeader'
  if (!isUp) return 'Down'
  return hasCarrier ? undefined : 'NoCarrier'
}

/**
 * This node's own EgressNode with what the node itself knows, which is newer than what it has reported:
 * decisions about its own addresses do not wait for the API server.
 */
export function withOwnInterfaces(
  egressNodes: readonly EgressNode[],
  self: string,
  interfaces: readonly NodeInterface[],
): EgressNode[] {
  const known = egressNodes.find(({ metadata }) => metadata.name === self)
  const own = {
    ...(known ?? { metadata: { name: self } }),
    status: { ...known?.status, interfaces: [...interfaces] },
  }
  return [...egressNodes.filter(({ metadata }) => metadata.name !== self), own]
}

/** More would make the object large, and say nothing new to people. */
const maxIpsec = 256

type Report = NonNullable<EgressNode['status']>

/** What a node knows of itself and of the others. */
interface NodeKnowledge {
  readonly node: WorldNode | undefined
  readonly interfaces: readonly NodeInterface[]
  readonly membership: Membership
  readonly reachability: Reachability
  readonly isCutOff: boolean
  /** Undefined until they were written for the first time. */
  readonly tables: Tables | undefined
  /** How many pods each policy selects here, if it is time to report it. */
  readonly selected: readonly SelectedPods[]
  readonly hookProblems: readonly string[]
  readonly stack: StackUse | undefined
  readonly tunnelPort: number
  readonly before: readonly Condition[]
  /** RFC 3339. */
  readonly now: string
}

/** What a node reports to other nodes and to people. Leased ports have a report of their own. */
export function describeNode(known: NodeKnowledge): Report {
  const { node, interfaces, membership, reachability, isCutOff, tables, selected, before, now } = known
  const { hookProblems, stack } = known
  const tunnelAddress = membership.isMember ? tables?.self.tunnelAddress : undefined
  return {
    interfaces: [...interfaces],
    heard: reachability.reachable,
    unreachable: reachability.unreachable,
    selected: [...selected],
    refused: summariseRefusals(tables?.refusals ?? []),
    version,
    ...(tunnelAddress === undefined ? {} : { tunnelAddress }),
    bypassedIPsec: bypassedIPsec(known.stack),
    conditions: nodeConditions(
      { node, membership, isCutOff, hookProblems, stack },
      { before, now },
      known.tunnelPort,
    ),
  }
}

function bypassedIPsec(stack: StackUse | undefined): string[] {
  if (stack === undefined || stack.forwardsByStack || !stack.isGateway) return []
  return [...new Set(stack.rules.ipsec)].slice(0, maxIpsec)
}

/** Whether two decisions come to the same report. */
export function isReportedAlike(after: Tables, before: Tables | undefined): boolean {
  const reported = (tables: Tables | undefined) => [tables?.refusals, tables?.selected]
  return isDeepStrictEqual(reported(after), reported(before))
}

/** Writes the status where it differs. Without an object yet (the operator makes it) there is nothing to write to. */
export async function report(
  resource: Resource<EgressNode>,
  present: EgressNode | undefined,
  status: Report,
): Promise<void> {
  if (present === undefined) return
  const before = Object.fromEntries(
    Object.keys(status).map((key) => [key, present.status?.[key as keyof Report]]),
  )
  if (isDeepStrictEqual(before, status)) return
  await resource.patch(
    present.metadata.name,
    'merge',
    { status },
    { subresource: 'status', fieldManager: 'sallyport-agent' },
  )
}
