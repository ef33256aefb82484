import { slotsWithLeasedFloor } from '../decide/ports/leasable-blocks.ts'
import type { AddressPlan, LeaseSituation } from '../decide/ports/lease-grants.ts'
import { planLeases } from '../decide/ports/lease-grants.ts'
import { leasesByAddress } from '../decide/ports/lease-table.ts'
import { gatewaysBehind } from '../decide/ports/lease-use.ts'
import { nodeGoneForMs, type SlotChange } from '../decide/ports/slot-grants.ts'
import { type LeasedSlots, orphanedSlots } from '../decide/ports/slots.ts'
import type { World } from '../decide/world.ts'
import type { KubeClient } from '../kube/client.ts'
import type { Address } from '../net/address.ts'
import { Attempts } from '../runtime/attempts.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Logger } from '../runtime/log.ts'
import { Absences } from './absences.ts'
import { applyLeases, tellExhaustion } from './apply-leases.ts'
import type { EventRecorder } from './events.ts'

type OperatorWorld = Omit<World, 'self'>

/** The watches have seen by then what this process has written. */
const seenAfterMs = 60_000
/** Of people, while gateways have not confirmed a lease. */
const patienceMs = 10_000

/**
 * Leases, as this operator grants them. A floor is leased where nobody has its slot, and a slot given where nobody has
 * leased its floor. These are two objects, and the watches show a write only after a while: what was written last is
 * remembered here.
 */
export class Leases {
  readonly #held: {
    readonly client: KubeClient
    readonly clock: Clock
    readonly log: Logger
    readonly recorder: EventRecorder
  }
  readonly #laggards = new Absences<Address>()
  readonly #orphans = new Absences<number>()
  readonly #slotsGivenAtMs = new Map<number, number>()
  readonly #floorsLeasedAtMs = new Map<number, number>()

  constructor(held: { client: KubeClient; clock: Clock; log: Logger; recorder: EventRecorder }) {
    this.#held = held
  }

  /** What slots have to do with leases, for whoever gives slots. */
  slots(world: OperatorWorld): LeasedSlots {
    const leases = leasesByAddress(world.egressAddresses)
    const floors = slotsWithLeasedFloor(leases, nodeAddressesOf(world), world.settings.slots)
    return {
      withLeases: new Set([...leases.values()].flatMap(({ leases: of }) => of.map(({ slot }) => slot))),
      withLeasedFloor: new Set([...floors, ...this.#recent(this.#floorsLeasedAtMs)]),
    }
  }

  /** Call it before the slots are written. */
  noteSlots(changes: readonly SlotChange[]): void {
    for (const change of changes)
      if ('slot' in change) this.#slotsGivenAtMs.set(change.slot, this.#held.clock.monotonicMs())
  }

  /** `gone`: names of nodes whose leases end; in which term. */
  async grant(world: OperatorWorld, gone: ReadonlySet<string>, term: number | undefined): Promise<void> {
    const { client, clock, log, recorder } = this.#held
    const plans = planLeases(this.#situation(world, gone, this.#orphaned(world, term)))
    this.#noteFloors(plans, world)
    const attempts = new Attempts()
    const now = new Date(clock.now()).toISOString()
    const behind = this.#behind(world, term)
    const told = await applyLeases(client, plans, { world, behind, attempts, now, log })
    tellExhaustion(recorder, told)
    attempts.finish()
  }

  /** A gateway confirms within a second: one that has not for longer is worth a word. */
  #behind(world: OperatorWorld, term: number | undefined): ReadonlyMap<Address, readonly string[]> {
    const nowMs = this.#held.clock.monotonicMs()
    const all = gatewaysBehind(world)
    const since = this.#laggards.update([...all.keys()], term, nowMs)
    return new Map([...all].filter(([address]) => nowMs - (since.get(address) ?? nowMs) >= patienceMs))
  }

  #orphaned(world: OperatorWorld, term: number | undefined): ReadonlySet<number> {
    const nowMs = this.#held.clock.monotonicMs()
    const since = this.#orphans.update(orphanedSlots(this.slots(world), world.egressNodes), term, nowMs)
    return new Set([...since].flatMap(([slot, sinceMs]) => (nowMs - sinceMs >= nodeGoneForMs ? [slot] : [])))
  }

  #situation(world: OperatorWorld, gone: ReadonlySet<string>, orphaned: ReadonlySet<number>): LeaseSituation {
    const { egressNodes, egressAddresses, settings } = world
    const { withLeasedFloor } = this.slots(world)
    const given = egressNodes.flatMap(({ spec }) => spec?.slot ?? [])
    return {
      egressNodes,
      egressAddresses,
      gone,
      orphaned,
      present: new Set(world.nodes.map(({ name }) => name)),
      nodeAddresses: nodeAddressesOf(world),
      given: {
        slots: settings.slots,
        taken: new Set([...given, ...this.#recent(this.#slotsGivenAtMs)]),
        withLeasedFloor,
      },
    }
  }

  #noteFloors(plans: readonly AddressPlan[], world: OperatorWorld): void {
    const planned = new Map(
      plans.map(({ address, leases }) => [address, { leases, revision: 0, uid: undefined }]),
    )
    const floors = slotsWithLeasedFloor(planned, nodeAddressesOf(world), world.settings.slots)
    for (const slot of floors) this.#floorsLeasedAtMs.set(slot, this.#held.clock.monotonicMs())
  }

  #recent(times: Map<number, number>): readonly number[] {
    const nowMs = this.#held.clock.monotonicMs()
    for (const [slot, atMs] of times) if (nowMs - atMs > seenAfterMs) times.delete(slot)
    return [...times.keys()]
  }
}

/** They share their addresses with their own sockets. */
function nodeAddressesOf({ nodes }: OperatorWorld): ReadonlySet<Address> {
  return new Set(nodes.flatMap(({ internalIPs }) => internalIPs))
}
