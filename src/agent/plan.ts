import type { Desired } from '../datapath/desired.ts'
import type { Pod } from '../datapath/tables/policy-tables.ts'
import type { EgressIp, Tables } from '../decide/tables.ts'
import type { Address } from '../net/address.ts'
import type { Attachment } from './pods/attachments.ts'

/** The tunnel device of this node. */
export interface Overlay {
  readonly ifindex: number
  readonly mac: string
  /** The largest inner IP packet that fits into the tunnel without fragmentation. */
  readonly mtu: number
}

/** What only this node knows about egress IPs. */
interface NodeEgressIps {
  /** Egress IPs that no policy names any more. Flows may still have them. */
  readonly lingering: ReadonlyMap<Address, EgressIp>
  /** The index of the only device for packets of these egress IPs. */
  readonly bound: ReadonlyMap<Address, number>
}

/** The desired content of the kernel's tables: the decision, with the devices that only this node knows. */
export function planDatapath(
  tables: Tables,
  attachments: readonly Attachment[],
  overlay: Overlay,
  { lingering, bound }: NodeEgressIps,
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
      [...lingering, ...tables.egressIps].map(([address, { order, blockOwner }]) => {
        const ifindex = bound.get(address)
        return [address, { order, blockOwner, ...(ifindex === undefined ? {} : { ifindex }) }]
      }),
    ),
    pools: tables.pools,
    groups: tables.groups,
    cluster: tables.cluster,
    rules: tables.rules,
    services: tables.services,
    pods: new Map(attachments.flatMap((attachment) => podEntries(tables, attachment))),
  }
}

/** A pod that is not in the decision yet gets an entry that drops all its packets. */
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
 * Egress IPs that no policy names any more. Their flows continue, on this node and on others, and no node knows when the
 * last one ends. So they stay for as long as a TCP connection may be silent.
 */
export class Lingering {
  readonly #lastWanted = new Map<Address, { readonly entry: EgressIp; readonly atMs: number }>()
  readonly #lingerMs: number

  constructor(lingerMs: number) {
    this.#lingerMs = lingerMs
  }

  /** For each of them the gateways that may answer for it, as of the last update. */
  get orders(): ReadonlyMap<Address, readonly Address[]> {
    return new Map([...this.#lastWanted].map(([address, { entry }]) => [address, entry.order]))
  }

  /** Entries that are in the kernel from the previous agent count as wanted until now. */
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
