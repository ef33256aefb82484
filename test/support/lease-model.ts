import type { EgressAddress } from '../../src/api/egress-address.ts'
import type { EgressNode } from '../../src/api/egress-node.ts'
import { leasesByAddress, rangesOfBlocks } from '../../src/decide/ports/lease-table.ts'
import {
  confirmations,
  heldBlocks,
  markInUse,
  releasedBlocks,
  trackLeases,
} from '../../src/decide/ports/lease-use.ts'
import { slotsByNode } from '../../src/decide/ports/slots.ts'
import { resolve } from '../../src/decide/resolve.ts'
import type { OwnLeases, World } from '../../src/decide/world.ts'
import {
  address,
  allPorts,
  ciliumPolicy,
  device,
  egressNode,
  isovalentPolicy,
  node,
  pod,
  world,
} from './world-builder.ts'

/*
 * A cluster for the property test of leases: agents and operators that each see the API server's objects as they were
 * some time ago, and whose writes arrive late. They decide with the real functions.
 */

export const names = ['a', 'b', 'g', 'h'] as const
export type Name = (typeof names)[number]
/** To begin with. */
export const gateways: readonly Name[] = ['g', 'h']
export const egressIp = address('172.18.0.42')
export const slots = 512

/** Every state that the API server has had, for watches that lag. */
export class ApiServer {
  readonly egressNodes: (readonly EgressNode[])[] = [[]]
  readonly egressAddresses: (readonly EgressAddress[])[] = [[]]
  /** Which nodes have the label that makes a gateway. */
  readonly labelled: ReadonlySet<Name>[] = [new Set(gateways)]

  label(names: ReadonlySet<Name>): void {
    this.labelled.push(names)
  }

  get nodes(): readonly EgressNode[] {
    return this.egressNodes.at(-1) ?? []
  }

  get addresses(): readonly EgressAddress[] {
    return this.egressAddresses.at(-1) ?? []
  }

  createNode(name: string, slot: number): void {
    if (!this.nodes.some(({ metadata }) => metadata.name === name))
      this.egressNodes.push([...this.nodes, egressNode(name, slot, interfacesOf(name as Name))])
  }

  deleteNode(name: string): void {
    this.egressNodes.push(this.nodes.filter(({ metadata }) => metadata.name !== name))
  }

  patchStatus(name: string, status: EgressNode['status']): void {
    const patched = this.nodes.map((each) =>
      each.metadata.name === name ? { ...each, status: { ...each.status, ...status } } : each,
    )
    this.egressNodes.push(patched)
  }

  /** Refused where the object is not as it was read. */
  writeLeases(read: EgressAddress | undefined, spec: EgressAddress['spec']): void {
    const [present] = this.addresses
    if (present?.metadata.generation !== read?.metadata.generation) return
    const metadata = { name: '172-18-0-42', generation: (present?.metadata.generation ?? 0) + 1 }
    this.egressAddresses.push([{ metadata, spec }])
  }
}

export function addressOf(name: Name): string {
  return `172.18.1.${names.indexOf(name) + 1}`
}

function interfacesOf(name: Name) {
  const own = addressOf(name)
  const eth0 = device('eth0', [own], { isDefaultRoute: true, subnets: ['172.18.0.0/16'] })
  return name === 'g' ? [eth0, device('net0', [egressIp], { subnets: ['172.18.0.0/16'] })] : [eth0]
}

type Watched = 'nodes' | 'addresses' | 'labels'

/** Three watches, each at some point of its history. */
export class View {
  readonly #api: ApiServer
  readonly #at: Record<Watched, number> = { nodes: 0, addresses: 0, labels: 0 }

  constructor(api: ApiServer) {
    this.#api = api
  }

  advance(kind: Watched, steps: number): void {
    const { egressNodes, egressAddresses, labelled } = this.#api
    const { length } = { nodes: egressNodes, addresses: egressAddresses, labels: labelled }[kind]
    this.#at[kind] = Math.min(this.#at[kind] + steps, length - 1)
  }

  /** As after a list. */
  catchUp(): void {
    this.advance('nodes', Number.MAX_SAFE_INTEGER)
    this.advance('addresses', Number.MAX_SAFE_INTEGER)
    this.advance('labels', Number.MAX_SAFE_INTEGER)
  }

  get egressNodes(): readonly EgressNode[] {
    return this.#api.egressNodes[this.#at.nodes] ?? []
  }

  get egressAddresses(): readonly EgressAddress[] {
    return this.#api.egressAddresses[this.#at.addresses] ?? []
  }

  get labelled(): ReadonlySet<Name> {
    return this.#api.labelled[this.#at.labels] ?? new Set()
  }
}

export class ModelAgent {
  readonly view: View
  readonly name: Name
  readonly #api: ApiServer
  readonly #inFlight: (() => void)[] = []
  demand = 0
  #since: OwnLeases['since'] = new Map()
  #leaving = new Set<number>()
  #released = new Set<number>()
  #confirmed: ReturnType<typeof confirmations> = []
  /** By which its pool was written. */
  #revision = 0
  #isStarted = false
  /** The kernel's tables: they outlive the agent. */
  pool: readonly number[] = []
  blockOwner: readonly (number | 'self' | 'stack' | undefined)[] = []
  /** Who it sends to, as it knows. */
  order: readonly string[] = []

  constructor(name: Name, api: ApiServer) {
    this.name = name
    this.#api = api
    this.view = new View(api)
  }

  /** The process dies and comes back: what it has sent may still arrive, what it remembers is gone. */
  restart(): void {
    this.view.catchUp()
    this.#since = new Map([[egressIp, new Map(this.pool.map((block) => [block, 0]))]])
    this.#leaving = new Set()
    this.#released = new Set()
    this.#isStarted = false
    const own = this.view.egressNodes.find(({ metadata }) => metadata.name === this.name)
    this.demand = own?.status?.demand?.[0]?.blocks ?? 0
  }

  get slot(): number | undefined {
    return slotsByNode(this.view.egressNodes).get(this.name)
  }

  world(present: ReadonlySet<Name>, silent: ReadonlySet<Name>): World {
    const { egressNodes, egressAddresses, labelled } = this.view
    return world({
      self: this.name,
      nodes: [...present].map((each) =>
        node(each, {
          ips: [addressOf(each)],
          labels: labelled.has(each) ? { 'egress-gw': 'true' } : {},
        }),
      ),
      pods: [pod('xwing', { nodeName: this.name, labels: { org: 'alliance' } })],
      ciliumPolicies: [ciliumPolicy('p')],
      isovalentPolicies: [isovalentPolicy('spread', { destinationCIDRs: ['203.0.113.0/24'] })],
      egressNodes,
      egressAddresses,
      unreachableNodes: silent,
      reachableNodes: new Set([...present].filter((each) => !silent.has(each))),
      ownLeases: { since: this.#since, leaving: new Map([[egressIp, this.#leaving]]) },
      settings: {
        slots,
        isChained: false,
        networkPolicies: 'enforce',
        stackCIDRs: [],
        nonMasqueradeCIDRs: [],
        ports: allPorts,
      },
    })
  }

  reconcile(present: ReadonlySet<Name>, silent: ReadonlySet<Name>): void {
    const own = this.view.egressNodes.find(({ metadata }) => metadata.name === this.name)
    if (!this.#isStarted)
      this.#released = new Set(
        releasedBlocks(own, leasesByAddress(this.view.egressAddresses)).get(egressIp)?.keys(),
      )
    this.#isStarted = true
    this.#since = trackLeases(this.#since, this.view, this.slot)
    const seen = this.world(present, silent)
    const tables = resolve(seen)
    this.pool =
      tables.pools.find((each) => each.address === egressIp && each.purpose === 'egress')?.blocks ?? []
    this.blockOwner = tables.egressIps.get(egressIp)?.blockOwner ?? []
    this.order = tables.egressIps.get(egressIp)?.order ?? []
    this.#since = markInUse(this.#since, this.view, tables.pools)
    this.#confirmed = confirmations(seen, tables)
    this.#revision = leasesByAddress(this.view.egressAddresses).get(egressIp)?.revision ?? 0
    /* What left the pool has no flows here: it is given back. What is gone is forgotten. */
    const { leases } = leasesByAddress(this.view.egressAddresses).get(egressIp) ?? { leases: [] }
    const ours = new Set(leases.flatMap((lease) => (lease.slot === this.slot ? [...blocksOf(lease)] : [])))
    this.#released = new Set([...this.#released, ...this.#leaving].filter((block) => ours.has(block)))
    this.#leaving = new Set()
  }

  /** Lets go of some of what it holds; the next look takes it out of the pool. */
  letGo(count: number): void {
    const { leases } = leasesByAddress(this.view.egressAddresses).get(egressIp) ?? { leases: [] }
    const held = heldBlocks(leases, this.slot).filter((block) => !this.#released.has(block))
    this.#leaving = new Set(held.slice(0, count))
    this.demand = Math.max(held.length - this.#leaving.size, 0)
  }

  send(): void {
    if (!this.#isStarted) return
    const released = rangesOfBlocks(this.#released).map((range) => ({
      address: egressIp,
      ...range,
      revision: this.#revision,
    }))
    const demand = this.demand > 0 ? [{ address: egressIp, blocks: this.demand }] : []
    const status = { demand, confirmed: this.#confirmed, released }
    this.#inFlight.push(() => this.#api.patchStatus(this.name, status))
  }

  arrive(): void {
    this.#inFlight.shift()?.()
  }

  /** The machine is gone, with its tables and all that was on its way. */
  die(): void {
    this.pool = []
    this.blockOwner = []
    this.#inFlight.length = 0
    this.demand = 0
    this.restart()
  }
}

function* blocksOf({ firstPort, blocks }: { readonly firstPort: number; readonly blocks: number }) {
  for (let index = 0; index < blocks; index++) yield (firstPort >> 4) + index
}
