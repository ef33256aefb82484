import { slotsWithLeasedFloor } from '../../src/decide/ports/leasable-blocks.ts'
import { planLeases } from '../../src/decide/ports/lease-grants.ts'
import { leasesByAddress } from '../../src/decide/ports/lease-table.ts'
import { goneNodes, planSlots } from '../../src/decide/ports/slot-grants.ts'
import { usableBlocks } from '../../src/net/ports.ts'
import { type ApiServer, egressIp, type Name, slots, View } from './lease-model.ts'
import { allPorts } from './world-builder.ts'

/** An operator that believes to be the leader. A test may run two of them. */
export class ModelOperator {
  readonly view: View
  readonly #api: ApiServer
  readonly #slotsGiven = new Set<number>()
  /** Since when nodes are missing, by name. */
  #goneSince: ReadonlyMap<string, number> = new Map()

  constructor(api: ApiServer) {
    this.#api = api
    this.view = new View(api)
  }

  run(present: ReadonlySet<Name>, nowMs: number): void {
    const { egressNodes, egressAddresses } = this.view
    const leases = leasesByAddress(egressAddresses)
    const nodes = [...present].map((name) => ({ name, uid: name }))
    const missing = egressNodes
      .map(({ metadata }) => metadata.name)
      .filter((name) => !present.has(name as Name))
    this.#goneSince = new Map(missing.map((name) => [name, this.#goneSince.get(name) ?? nowMs]))
    const gone = goneNodes(nodes, egressNodes, this.#goneSince, nowMs).map(({ metadata }) => metadata.name)
    const withLeasedFloor = slotsWithLeasedFloor(leases, new Set(), slots)
    const withLeases = new Set([...leases.values()].flatMap((of) => of.leases.map(({ slot }) => slot)))
    const leased = { withLeases, withLeasedFloor }
    for (const change of planSlots(nodes, egressNodes, slots, this.#goneSince, nowMs, leased)) {
      if (change.action === 'create') {
        this.#slotsGiven.add(change.slot)
        this.#api.createNode(change.node, change.slot)
      }
      if (change.action === 'remove') this.#api.deleteNode(change.egressNode.metadata.name)
    }
    const taken = new Set([...this.#slotsGiven, ...egressNodes.flatMap(({ spec }) => spec?.slot ?? [])])
    const plans = planLeases({
      egressNodes,
      egressAddresses,
      present,
      gone: new Set(gone),
      orphaned: new Set(),
      nodeAddresses: new Set(),
      lingering: new Map(),
      usable: usableBlocks(allPorts),
      given: { slots, taken, withLeasedFloor },
    })
    for (const { object, leases: planned, isChanged } of plans)
      if (isChanged) this.#api.writeLeases(object, { address: egressIp, leases: [...planned] })
  }
}
