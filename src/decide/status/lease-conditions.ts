import type { EgressNode } from '../../api/egress-node.ts'
import { type Address, parseAddress } from '../../net/address.ts'
import type { AddressPlan } from '../ports/lease-grants.ts'
import type { LingeringSummary } from '../ports/lingering.ts'
import type { TimelessCondition } from './conditions.ts'
import type { EventText } from './events.ts'

/** The condition warns when less than one eighth is left, so while there is still time to act. */
const fewLeft = 8

const needMore =
  'Nodes need more ports than this egress IP has. New connections to a destination are dropped when the node has no free port for it.'

/* If egressGateways is not empty, egressGateway does not count. So the egress IP from there has to be in the list, too. */
const anotherOne =
  'an egress IP to the policy, and list all of them in egressGateways (CiliumEgressGatewayPolicy) or egressGroups (IsovalentEgressGatewayPolicy).'

interface HeaviestPod {
  /** namespace/name */
  readonly pod: string
  readonly node: string
  readonly connections: number
}

/** The pod with most connections of an egress IP, from the nodes' reports. */
export function heaviestPod(address: Address, egressNodes: readonly EgressNode[]): HeaviestPod | undefined {
  const all = egressNodes.flatMap(({ metadata, status }) =>
    (status?.heaviest ?? [])
      .filter((each) => parseAddress(each.address) === address)
      .map(({ pod, connections }) => ({ pod, connections, node: metadata.name })),
  )
  return all.sort((a, b) => b.connections - a.connections || (a.pod < b.pod ? -1 : 1))[0]
}

/** How many ports of an egress IP can still be leased. The text changes only at thresholds, so the status does, too. */
export function exhaustion({
  leasable,
  left,
  isShort,
  heaviest,
}: Pick<AddressPlan, 'leasable' | 'left' | 'isShort'> & {
  readonly heaviest?: HeaviestPod | undefined
}): TimelessCondition {
  const type = 'Exhausted'
  if (isShort && heaviest !== undefined)
    return {
      type,
      status: 'True',
      reason: 'PodHoldsMost',
      message: `${needMore} Pod ${heaviest.pod} on node ${heaviest.node} has most connections, about ${heaviest.connections}. Let it open fewer, set egressGateway.maxPortsPerPod, or add ${anotherOne}`,
    }
  if (left === 0)
    return {
      type,
      status: 'True',
      reason: 'NoPortsLeft',
      message: isShort
        ? `${needMore} Add ${anotherOne}`
        : `All leasable ports of this egress IP are leased. Add ${anotherOne}`,
    }
  if (left * fewLeft < leasable)
    return {
      type,
      status: 'False',
      reason: 'FewPortsLeft',
      message: `Fewer than one eighth of the leasable ports of this egress IP are free. Add ${anotherOne}`,
    }
  return { type, status: 'False', reason: 'PortsLeft', message: 'This egress IP has ports left to lease.' }
}

/** A condition while gateways take longer than usual to confirm leases. The caller has excluded those that are on time. */
export function gatewayBehind(gateways: readonly string[]): readonly TimelessCondition[] {
  if (gateways.length === 0) return []
  const message = `The latest leases are not confirmed by ${gateways.join(' and ')}, so nodes do not use them yet. Check that the agent of each gateway named here runs and reaches the API server.`
  return [{ type: 'Unconfirmed', status: 'True', reason: 'GatewayBehind', message }]
}

/** Present while nodes keep the address although no policy uses it. */
export function lingeringConditions(
  address: Address,
  summary: LingeringSummary | undefined,
): readonly TimelessCondition[] {
  if (summary === undefined) return []
  const type = 'Lingering'
  const { connections, nodes } = summary
  const remedy = `Nodes remove it when egressGateway.egressIPLingerTime has passed. To remove it now, which breaks its connections, run: sallyport egress release ${address}`
  if (connections === 0)
    return [
      {
        type,
        status: 'True',
        reason: 'NoConnectionLeft',
        message: `No policy uses this egress IP any more, and no connection has it. ${remedy}`,
      },
    ]
  return [
    {
      type,
      status: 'True',
      reason: 'ConnectionsLeft',
      message: `No policy uses this egress IP any more. Connections of node ${nodes.join(' and ')} still have it. ${remedy}`,
    },
  ]
}

type Seen = { readonly type: string; readonly reason: string }

/** Events when ports become few, when none are left, and when there are enough again. */
export function exhaustionEvents(
  address: string,
  before: readonly Seen[],
  after: TimelessCondition,
): readonly EventText[] {
  const was = before.find(({ type }) => type === after.type)?.reason ?? 'PortsLeft'
  if (was === after.reason) return []
  const type = after.reason === 'PortsLeft' ? 'Normal' : 'Warning'
  return [{ type, reason: after.reason, message: `Egress IP ${address}: ${after.message}` }]
}
