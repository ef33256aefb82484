import type { GroupStatus } from '../../api/isovalent-egress-gateway-policy.ts'
import type { Condition } from '../../api/metadata.ts'
import type { PolicySummary } from '../../api/policy-fields.ts'
import type { SlotChange } from '../ports/slot-grants.ts'
import { addressEvents } from './address-events.ts'

/** What `kubectl describe` shows at the end of an object. */
export interface EventText {
  readonly type: 'Normal' | 'Warning'
  /** One word in CamelCase, for programs. */
  readonly reason: string
  readonly message: string
}

/** A policy's status, as it was written before or is written now. */
export interface StatusSeen {
  readonly conditions?: readonly Pick<Condition, 'type' | 'status' | 'reason' | 'message'>[] | undefined
  readonly groupStatuses?: readonly GroupStatus[] | undefined
  readonly summary?: PolicySummary | undefined
  readonly observedGeneration?: number | undefined
}

/** By node IP. */
export interface NodesSeen {
  readonly names: ReadonlyMap<string, string>
  /** Those that the policy selects now and that are unhealthy. */
  readonly candidates: ReadonlySet<string>
  /** By node name, why the node is no gateway for new connections; undefined where it may be one. */
  readonly whyNot: (name: string) => string | undefined
}

/** What of a change a person would want to know. Nothing, where only the words of a status differ. */
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

/** Conditions that a person waits for, and which value of them is the good one. */
const toldConditions = ['Ready', 'isovalent.com/IPAMRequestSatisfied'] as const

function conditionEvents(before: StatusSeen, after: StatusSeen): readonly EventText[] {
  return toldConditions.flatMap((type): readonly EventText[] => {
    const [was, is] = [before, after].map(({ conditions }) => conditions?.find((each) => each.type === type))
    if (is === undefined || (was?.status === is.status && (is.status === 'True' || was.reason === is.reason)))
      return []
    const { message } = is
    if (is.status !== 'True') return [{ type: 'Warning', reason: is.reason, message }]
    if (type === 'Ready') return [{ type: 'Normal', reason: 'Ready', message }]
    return was === undefined ? [] : [{ type: 'Normal', reason: 'PoolSufficient', message }]
  })
}

/** Told once: which pods they are changes all the time. */
const toldOnce = ['PodsRefused', 'SelectsNoPods'] as const

function onceEvents(before: StatusSeen, after: StatusSeen): readonly EventText[] {
  return toldOnce.flatMap((type): readonly EventText[] => {
    const [was, is] = [before, after].map(({ conditions }) => conditions?.find((each) => each.type === type))
    return was !== undefined || is === undefined
      ? []
      : [{ type: 'Warning', reason: type, message: is.message }]
  })
}

/** Of a policy with one gateway for each pod: who answers in its place, and when it is back. */
function deadGatewayEvents(before: StatusSeen, after: StatusSeen): readonly EventText[] {
  const [was, is] = [before, after].map(({ conditions }) =>
    conditions?.find(({ type }) => type === 'GatewayUnhealthy'),
  )
  if (was?.message === is?.message) return []
  return is === undefined
    ? [{ type: 'Normal', reason: 'GatewayHealthy', message: 'Every gateway is healthy.' }]
    : [{ type: 'Warning', reason: 'GatewayUnhealthy', message: is.message }]
}

/** Which interface carries no traffic, who answers in its place, and when all are back. */
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

/** Which other host has an address of the pool: told anew if the host or the address changes. */
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
 * Of a policy that is new nobody wants to hear that its gateways live. One that is no longer selected has not died, nor
 * has one that lost its egress IP.
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
          message: `Gateway ${name(ip)} is not healthy. New connections avoid it.`,
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

/** Of each node that got no slot, by name. */
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
                message: `Node ${change.node} gets no ports, because ${change.reason}. Traffic that policies select from its pods is dropped. Delete Nodes that no longer exist. The setting slots cannot change after the install.`,
              },
            ] as const,
          ]
        : [],
    ),
  )
}
