import type { AddressConflict } from '../api/egress-node.ts'
import type { Desired } from '../datapath/desired.ts'
import type { Pod } from '../datapath/tables/policy-tables.ts'
import { addressConflicts } from '../decide/pools/address-conflicts.ts'
import { releasedAddresses } from '../decide/ports/lingering.ts'
import type { EgressIp, Tables } from '../decide/tables.ts'
import type { World } from '../decide/world.ts'
import { type Address, parseAddress } from '../net/address.ts'
import type { Attachment } from './pods/attachments.ts'

/** The tunnel's device on this node. */
export interface Overlay {
  readonly ifindex: number
  readonly mac: string
  /** Largest inner IP packet that the tunnel carries whole. */
  readonly mtu: number
}

/** What only this node knows of egress IPs. */
interface NodeEgressIps {
  /** Those that no policy names any more, while flows may have them. */
  readonly lingering: ReadonlyMap<Address, EgressIp>
  /** Those of this node that another host may have: no packet leaves with them. */
  readonly unusable: ReadonlySet<Address>
  /** Those whose packets must leave by one device: its index. */
  readonly bound: ReadonlyMap<Address, number>
}

/** What the kernel's tables must hold: the decision, with the devices that only this node knows. */
export function planDatapath(
  tables: Tables,
  attachments: readonly Attachment[],
  overlay: Overlay,
  { lingering, unusable, bound }: NodeEgressIps,
): Desired {
  return {
    self: {
      ...tables.self,
      overlayIfindex: overlay.ifindex,
      overlayMac: overlay.mac,
      tunnelMtu: overlay.mtu,
    },
    nodes: tables.nodes,
    egressIps: new Map(
      [...lingering, ...tables.egressIps].flatMap(([address, { order, blockOwner }]) => {
        const ifindex = bound.get(address)
        if (unusable.has(address)) return []
        return [[address, { order, blockOwner, ...(ifindex === undefined ? {} : { ifindex }) }] as const]
      }),
    ),
    pools: tables.pools,
    groups: tables.groups,
    cluster: tables.cluster,
    rules: tables.rules,
    pods: new Map(attachments.flatMap((attachment) => podEntries(tables, attachment))),
  }
}

/** A pod that the decision does not know yet gets an entry too: one that drops all its packets. */
function podEntries(tables: Tables, attachment: Attachment): readonly (readonly [Address, Pod])[] {
  const { wired, pod, sinceNs } = attachment
  if (wired === undefined) return []
  return attachment.addresses.map((address) => {
    const decided = tables.podsByIp.get(address)
    const isKnown = decided !== undefined && (pod.uid === '' || decided.podUid === pod.uid)
    return [
      address,
      {
        policySet: isKnown ? decided.policySet : 0n,
        sinceNs,
        ifindex: wired.ifindex,
        mac: wired.mac,
        hostMac: wired.hostMac,
        isQuarantined: !isKnown,
      },
    ]
  })
}

/**
 * Egress IPs that no policy names any more. Their flows continue, here and on other nodes, and no node knows when the last one
 * ends. So they stay for as long as a TCP connection may be silent.
 */
export class Lingering {
  readonly #lastWanted = new Map<Address, { readonly entry: EgressIp; readonly atMs: number }>()
  readonly #lingerMs: number

  constructor(lingerMs: number) {
    this.#lingerMs = lingerMs
  }

  /** Who may answer for each, as of the last update. */
  get orders(): ReadonlyMap<Address, readonly Address[]> {
    return new Map([...this.#lastWanted].map(([address, { entry }]) => [address, entry.order]))
  }

  /** What is in the kernel from before counts as wanted just now. */
  restore(entries: Iterable<readonly [Address, EgressIp]>, nowMs: number): void {
    for (const [address, entry] of entries) this.#lastWanted.set(address, { entry, atMs: nowMs })
  }

  /** `released` are those that must not stay. */
  update(
    wanted: ReadonlyMap<Address, EgressIp>,
    nowMs: number,
    released: readonly Address[] = [],
  ): ReadonlyMap<Address, EgressIp> {
    for (const address of released) this.#lastWanted.delete(address)
    for (const [address, entry] of wanted) this.#lastWanted.set(address, { entry, atMs: nowMs })
    for (const [address, { atMs }] of this.#lastWanted)
      if (atMs + this.#lingerMs < nowMs) this.#lastWanted.delete(address)
    return new Map([...this.#lastWanted].map(([address, { entry }]) => [address, entry]))
  }
}

/**
 * Addresses that do not linger. A person released them. Or another host has them, as this node or another one found. Or the stack
 * gives them to pods that no policy selects: they were egress IPs only before the node was chained.
 */
export function endedAddresses(
  world: Pick<World, 'nodes' | 'settings' | 'egressNodes' | 'egressAddresses'>,
  self: string,
  conflictsHere: readonly Pick<AddressConflict, 'address'>[],
): readonly Address[] {
  const own = world.nodes.find(({ name }) => name === self)?.internalIPs ?? []
  return [
    ...(world.settings.isChained ? own : []),
    ...conflictsHere.flatMap(({ address }) => parseAddress(address) ?? []),
    ...addressConflicts(world.egressNodes).keys(),
    ...releasedAddresses(world.egressAddresses),
  ]
}
