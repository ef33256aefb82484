import type { GroupStatus } from '../../api/isovalent-egress-gateway-policy.ts'
import type { Condition } from '../../api/metadata.ts'
import type { PolicySummary } from '../../api/policy-fields.ts'
import { gatewayChecks } from '../gateways/dead-gateways.ts'
import type { SlotChange } from '../ports/slot-grants.ts'
import { addressEvents } from './address-events.ts'

/** The text of an Event. `kubectl describe` shows it at the end of an object. */
export interface EventText {
  readonly type: 'Normal' | 'Warning'
  /** One word in CamelCase, for programs. */
  readonly reason: string
  readonly message: string
}

/** The parts of a policy's status that Events follow from. */
export interface StatusSeen {
  readonly conditions?: readonly Pick<Condition, 'type' | 'status' | 'reason' | 'message'>[] | undefined
  readonly groupStatuses?: readonly GroupStatus[] | undefined
  readonly summary?: PolicySummary | undefined
  readonly observedGeneration?: number | undefined
}

export interface NodesSeen {
  /** Node names by node IP. */
  readonly names: ReadonlyMap<string, string>
  /** The node IPs of unhealthy nodes that the policy selects now. */
  readonly candidates: ReadonlySet<string>
  /** Says why a node is not a gateway for new connections. Undefined if it may be one. */
  readonly whyNot: (name: string) => string | undefined
}

/** The Events for a change of a policy's status. A change of words alone makes none. */
export function policyEvents(before: StatusSeen, after: StatusSeen, nodes: NodesSeen): readonly EventText[] {
  return [
    ...conditionEvents(before, after),
    ...onceEvents(before, after),
    ...addressEvents(before, after, nodes),
    ...deadGatewayEvents(before, after),
    ...outageEvents(before, after),
    ...conflictEvents(before, after),
    ...grantEvents(before, after, nodes),
    ...healthEvents(before, after, nodes),
  ]
}

/** Conditions with an Event for each change. True is their good value. */
const reportedConditions = ['Ready', 'isovalent.com/IPAMRequestSatisfied'] as const

function conditionEvents(before: StatusSeen, after: StatusSeen): readonly EventText[] {
  return reportedConditions.flatMap((type): readonly EventText[] => {
    const [was, is] = [before, after].map(({ conditions }) => conditions?.find((each) => each.type === type))
    if (is === undefined || (was?.status === is.status && (is.status === 'True' || was.reason === is.reason)))
      return []
    const { message } = is
    if (is.reason === 'Applying') return []
    if (is.status !== 'True') return [{ type: 'Warning', reason: is.reason, message }]
    if (type === 'Ready') return [{ type: 'Normal', reason: 'Ready', message }]
    return was === undefined ? [] : [{ type: 'Normal', reason: 'PoolSufficient', message }]
  })
}

/** Conditions with an Event only when they appear, because the pods in their messages change all the time. */
const reportedOnce = [
  'PodsRefused',
  'PodsDenied',
  'PodsCutOff',
  'NoRoute',
  'ForwardingStopped',
  'SelectsNoPods',
  'NodesBehind',
  'GatewayIdle',
  'PortsExhausted',
  'DestinationsNotServed',
  'DropsFamily',
] as const

function onceEvents(before: StatusSeen, after: StatusSeen): readonly EventText[] {
  return reportedOnce.flatMap((type): readonly EventText[] => {
    const [was, is] = [before, after].map(({ conditions }) => conditions?.find((each) => each.type === type))
    return was !== undefined || is === undefined
      ? []
      : [{ type: 'Warning', reason: type, message: is.message }]
  })
}

/** Events of a policy with one gateway for each pod: which node answers for an unhealthy gateway, and that it is back. */
function deadGatewayEvents(before: StatusSeen, after: StatusSeen): readonly EventText[] {
  const [was, is] = [before, after].map(({ conditions }) =>
    conditions?.find(({ type }) => type === 'GatewayUnhealthy'),
  )
  if (was?.message === is?.message) return []
  return is === undefined
    ? [{ type: 'Normal', reason: 'GatewayHealthy', message: 'Every gateway is healthy.' }]
    : [{ type: 'Warning', reason: 'GatewayUnhealthy', message: is.message }]
}

/** Events about an interface that carries no traffic: which node answers instead, and that all interfaces are back. */
function outageEvents(before: StatusSeen, after: StatusSeen): readonly EventText[] {
  const type = 'InterfaceUnusable'
  const [was, is] = [before, after].map(({ conditions }) => conditions?.find((each) => each.type === type))
  if (was?.message === is?.message) return []
  return is === undefined
    ? [
        {
          type: 'Normal',
          reason: 'InterfacesUsable',
          message: 'The interfaces of all gateways carry traffic.',
        },
      ]
    : [{ type: 'Warning', reason: type, message: is.message }]
}

/** Which other host has an address of the pool. Repeated if the host or the address changes. */
function conflictEvents(before: StatusSeen, after: StatusSeen): readonly EventText[] {
  const type = 'AddressConflict'
  const [was, is] = [before, after].map(({ conditions }) => conditions?.find((each) => each.type === type))
  return is === undefined || was?.message === is.message
    ? []
    : [{ type: 'Warning', reason: 'AddressConflict', message: is.message }]
}

function grantEvents(before: StatusSeen, after: StatusSeen, { names }: NodesSeen): readonly EventText[] {
  const [had, has] = [listGrants(before), listGrants(after)]
  const nameOf = ({ gateway }: Grant): string => names.get(gateway) ?? gateway
  const released = [...had].filter(([key]) => !has.has(key)).map(([, grant]) => grant)
  const allocated = [...has].filter(([key]) => !had.has(key)).map(([, grant]) => grant)
  return [
    ...released.map(
      (grant): EventText => ({
        type: 'Normal',
        reason: 'EgressIPReleased',
        message: `The operator took egress IP ${grant.address} back from gateway ${nameOf(grant)}.`,
      }),
    ),
    ...allocated.map(
      (grant): EventText => ({
        type: 'Normal',
        reason: 'EgressIPAllocated',
        message: `The operator gave egress IP ${grant.address} to gateway ${nameOf(grant)}.`,
      }),
    ),
  ]
}

interface Grant {
  readonly gateway: string
  readonly address: string
}

function listGrants({ groupStatuses = [] }: StatusSeen): ReadonlyMap<string, Grant> {
  const grants = groupStatuses
    .flatMap(({ egressIPByGatewayIP = {}, egressIPv6ByGatewayIP = {} }) => [
      ...Object.entries(egressIPByGatewayIP),
      ...Object.entries(egressIPv6ByGatewayIP),
    ])
    .map(([gateway, address]) => ({ gateway, address }))
  return new Map(grants.map((grant) => [`${grant.gateway} ${grant.address}`, grant]))
}

/**
 * Events about gateways that become healthy or unhealthy. A new policy gets none. A gateway that is no longer selected, or
 * that has lost its egress IP, does not count as unhealthy.
 */
function healthEvents(
  before: StatusSeen,
  after: StatusSeen,
  { names, candidates }: NodesSeen,
): readonly EventText[] {
  if (before.groupStatuses === undefined) return []
  const [were, are] = [before, after].map(
    ({ groupStatuses = [] }) =>
      new Set(groupStatuses.flatMap(({ healthyGatewayIPs = [] }) => healthyGatewayIPs)),
  ) as [Set<string>, Set<string>]
  const name = (ip: string): string => names.get(ip) ?? ip
  return [
    ...[...were]
      .filter((ip) => !are.has(ip) && candidates.has(ip))
      .map(
        (ip): EventText => ({
          type: 'Warning',
          reason: 'GatewayUnhealthy',
          message: `Gateway ${name(ip)} is not healthy. New connections avoid it. ${gatewayChecks(name(ip))}`,
        }),
      ),
    ...[...are]
      .filter((ip) => !were.has(ip))
      .map(
        (ip): EventText => ({
          type: 'Normal',
          reason: 'GatewayHealthy',
          message: `Gateway ${name(ip)} is healthy.`,
        }),
      ),
  ]
}

/** An Event for each node that got no slot, by node name. */
export function slotEvents(changes: readonly SlotChange[]): ReadonlyMap<string, EventText> {
  return new Map(
    changes.flatMap((change) =>
      change.action === 'refuse'
        ? [
            [
              change.node,
              {
                type: 'Warning',
                reason: 'NoSlot',
                message: `Node ${change.node} gets no ports, because ${change.reason}. Traffic that policies select from its pods is dropped. Delete the Node objects of machines that are gone: about four minutes later their slots are free. If all machines exist, the cluster needs more slots, a power of two. Changing them breaks all open connections through egress gateways: sallyport upgrade --force --set slots=N`,
              },
            ] as const,
          ]
        : [],
    ),
  )
}
