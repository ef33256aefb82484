import type { Desired } from '../datapath/desired.ts'
import type { Pod } from '../datapath/tables/policy-tables.ts'
import type { EgressIp, Tables } from '../decide/tables.ts'
import type { Address } from '../net/address.ts'
import type { Attachment } from './pods/attachments.ts'

/** The tunnel's device on this node. */
export interface Overlay {
  readonly ifindex: number
  readonly mac: string
  /** Largest inner IP packet that the tunnel carries whole. */
  readonly mtu: number
  /** Of the device by which translated packets enter the stack, if they do. */
  readonly forwardIfindex?: number
}

/** What only this node knows of egress IPs. */
interface NodeEgressIps {
  /** Those that no policy names any more, while flows may have them. */
  readonly lingering: ReadonlyMap<Address, EgressIp>
  /** Those whose packets must leave by one device: its index. */
  readonly bound: ReadonlyMap<Address, number>
}

/** What the kernel's tables must hold: the decision, with the devices that only this node knows. */
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
      forwardIfindex: overlay.forwardIfindex ?? 0,
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
