import { kinds } from '../api/kinds.ts'
import { listPolicies } from '../decide/policies/policies.ts'
import { policiesWithoutPods, policyKey } from '../decide/policies/selected-pods.ts'
import { slotsWithLeasedFloor } from '../decide/ports/leasable-blocks.ts'
import { type AddressPlan, planLeases } from '../decide/ports/lease-grants.ts'
import { leasesByAddress } from '../decide/ports/lease-table.ts'
import { gatewaysBehind } from '../decide/ports/lease-use.ts'
import { lingeringAddresses } from '../decide/ports/lingering.ts'
import { goneNodes, nodeGoneForMs, planSlots, type SlotChange } from '../decide/ports/slot-grants.ts'
import { type LeasedSlots, orphanedSlots } from '../decide/ports/slots.ts'
import { type AppliedMemories, noteApplied, startOfApplied } from '../decide/status/applied-policies.ts'
import { type EventText, slotEvents } from '../decide/status/events.ts'
import { explainPolicies, type PolicyStatus } from '../decide/status/status.ts'
import type { World } from '../decide/world.ts'
import type { TrimmedNode } from '../kube/cluster-objects.ts'
import type { Address } from '../net/address.ts'
import { usableBlocks } from '../net/ports.ts'
import { type Absences, missingFor, noAbsences, noteAbsences } from './absences.ts'

export type OperatorWorld = Omit<World, 'self' | 'nodes'> & { readonly nodes: readonly TrimmedNode[] }

/** What the leader decides from. */
export interface Seen {
  readonly world: OperatorWorld
  /** Counts how often this process has become the leader. */
  readonly term: number | undefined
}

/**
 * What the operator remembers from one decision to the next; replaced, never changed. A floor is leased if no node has its slot,
 * and a slot is granted if no node has leased its floor. These are two objects, and the watches show a write only after a while,
 * so what was written last is remembered here.
 */
export interface Memory {
  readonly missingNodes: Absences<string>
  readonly orphanedSlots: Absences<number>
  /** Addresses with leases that gateways have not confirmed. */
  readonly unconfirmed: Absences<Address>
  /** Policies that select no pod, by kind and name. */
  readonly withoutPods: Absences<string>
  readonly applied: AppliedMemories
  readonly slotsGrantedAtMs: ReadonlyMap<number, number>
  readonly floorsLeasedAtMs: ReadonlyMap<number, number>
}

export const startOfMemory: Memory = {
  missingNodes: noAbsences(),
  orphanedSlots: noAbsences(),
  unconfirmed: noAbsences(),
  withoutPods: noAbsences(),
  applied: startOfApplied,
  slotsGrantedAtMs: new Map(),
  floorsLeasedAtMs: new Map(),
}

/** By then, the watches have delivered everything that this process wrote. */
const seenAfterMs = 60_000
/** A gateway normally confirms within a second. After this time, a condition names it. */
const confirmTimeoutMs = 10_000

/** Before a new policy, or new pods, are said not to match: the agents report their pods with a delay (agent/paced-report.ts). */
const countedAfterMs = 15_000
const countedPerNodeMs = 100

interface StatusDecision {
  readonly memory: Memory
  readonly slots: readonly SlotChange[]
  /** By the name of the node. */
  readonly slotEvents: ReadonlyMap<string, EventText>
  readonly statuses: readonly PolicyStatus[]
}

/** Decides the slots of nodes and the status of policies. */
export function decideStatus(before: Memory, seen: Seen, nowMs: number): StatusDecision {
  const { world } = seen
  const memory = noteMissingNodes(before, seen, nowMs)
  const leased = leasedSlots(memory, world, nowMs)
  const { sinceMs } = memory.missingNodes
  const slots = planSlots(world.nodes, world.egressNodes, world.settings.slots, sinceMs, nowMs, leased)
  const policies = listPolicies(world)
  const unselecting = policiesWithoutPods(world, policies)
  const withoutPods = noteAbsences(memory.withoutPods, unselecting, seen.term, nowMs)
  const applied = noteApplied(memory.applied, world, policies, nowMs)
  const granted = slots.flatMap((change) => ('slot' in change ? [[change.slot, nowMs] as const] : []))
  return {
    memory: {
      ...memory,
      withoutPods,
      applied: applied.memory,
      slotsGrantedAtMs: new Map([...recent(memory.slotsGrantedAtMs, nowMs), ...granted]),
    },
    slots,
    slotEvents: slotEvents(slots),
    statuses: explainPolicies(world, {
      withoutPods: withoutPodsForLong(world, withoutPods, nowMs),
      lags: applied.lags,
      withoutSlot: slots.flatMap((change) => (change.action === 'refuse' ? change.node : [])),
    }),
  }
}

/** A policy that was said to select no pod, and still selects none, is no news for another leader. */
function withoutPodsForLong(
  world: OperatorWorld,
  withoutPods: Absences<string>,
  nowMs: number,
): ReadonlySet<string> {
  const waitMs = countedAfterMs + countedPerNodeMs * world.nodes.length
  const told = [
    ...world.ciliumPolicies.map((policy) => ({ kind: kinds.ciliumEgressGatewayPolicy.kind, policy })),
    ...world.isovalentPolicies.map((policy) => ({ kind: kinds.isovalentEgressGatewayPolicy.kind, policy })),
  ]
    .filter(({ policy }) => policy.status?.conditions?.some(({ type }) => type === 'SelectsNoPods'))
    .map(({ kind, policy }) => policyKey({ kind, name: policy.metadata.name }))
  return new Set([
    ...missingFor(withoutPods, waitMs, nowMs),
    ...told.filter((key) => withoutPods.sinceMs.has(key)),
  ])
}

interface LeaseDecision {
  readonly memory: Memory
  readonly plans: readonly AddressPlan[]
  /** The gateways that nodes have waited for too long, by address. */
  readonly behind: ReadonlyMap<Address, readonly string[]>
}

/** Decides the leases of ports. */
export function decideLeases(before: Memory, seen: Seen, nowMs: number): LeaseDecision {
  const { world, term } = seen
  const known = noteMissingNodes(before, seen, nowMs)
  const leased = leasedSlots(known, world, nowMs)
  const orphaned = noteAbsences(known.orphanedSlots, orphanedSlots(leased, world.egressNodes), term, nowMs)
  const behind = gatewaysBehind(world)
  const unconfirmed = noteAbsences(known.unconfirmed, [...behind.keys()], term, nowMs)
  const { egressNodes, egressAddresses, nodes, settings } = world
  const gone = goneNodes(nodes, egressNodes, known.missingNodes.sinceMs, nowMs)
  const granted = egressNodes.flatMap(({ spec }) => spec?.slot ?? [])
  const plans = planLeases({
    egressNodes,
    egressAddresses,
    gone: new Set(gone.map(({ metadata }) => metadata.name)),
    orphaned: new Set(missingFor(orphaned, nodeGoneForMs, nowMs)),
    present: new Set(nodes.map(({ name }) => name)),
    nodeAddresses: nodeAddressesOf(world),
    usable: usableBlocks(settings.ports),
    lingering: lingeringAddresses(egressNodes),
    given: {
      slots: settings.slots,
      taken: new Set([...granted, ...recent(known.slotsGrantedAtMs, nowMs).keys()]),
      withLeasedFloor: leased.withLeasedFloor,
    },
  })
  const late = new Set(missingFor(unconfirmed, confirmTimeoutMs, nowMs))
  return {
    memory: {
      ...known,
      orphanedSlots: orphaned,
      unconfirmed,
      floorsLeasedAtMs: new Map([
        ...recent(known.floorsLeasedAtMs, nowMs),
        ...floorsOf(plans, world).map((slot) => [slot, nowMs] as const),
      ]),
    },
    plans,
    behind: new Map([...behind].filter(([address]) => late.has(address))),
  }
}

/** The names of EgressNodes without a Node. */
function noteMissingNodes(memory: Memory, { world, term }: Seen, nowMs: number): Memory {
  const present = new Set(world.nodes.map(({ name }) => name))
  const names = world.egressNodes.map(({ metadata }) => metadata.name).filter((name) => !present.has(name))
  return { ...memory, missingNodes: noteAbsences(memory.missingNodes, names, term, nowMs) }
}

function leasedSlots(memory: Memory, world: OperatorWorld, nowMs: number): LeasedSlots {
  const leases = leasesByAddress(world.egressAddresses)
  const floors = slotsWithLeasedFloor(leases, nodeAddressesOf(world), world.settings.slots)
  return {
    withLeases: new Set([...leases.values()].flatMap(({ leases: of }) => of.map(({ slot }) => slot))),
    withLeasedFloor: new Set([...floors, ...recent(memory.floorsLeasedAtMs, nowMs).keys()]),
  }
}

function floorsOf(plans: readonly AddressPlan[], world: OperatorWorld): readonly number[] {
  const planned = new Map(
    plans.map(({ address, leases }) => [address, { leases, revision: 0, uid: undefined }]),
  )
  return [...slotsWithLeasedFloor(planned, nodeAddressesOf(world), world.settings.slots)]
}

function recent(times: ReadonlyMap<number, number>, nowMs: number): ReadonlyMap<number, number> {
  return new Map([...times].filter(([, atMs]) => nowMs - atMs <= seenAfterMs))
}

/** Nodes' own addresses, whose ports the nodes' sockets use too. */
function nodeAddressesOf({ nodes }: OperatorWorld): ReadonlySet<Address> {
  return new Set(nodes.flatMap(({ internalIPs }) => internalIPs))
}
