import { tunnelAddressOf } from '../decide/gateways/gateways.ts'
import type { EgressIp, Tables } from '../decide/tables.ts'
import type { World } from '../decide/world.ts'
import type { Address } from '../net/address.ts'

interface Remembered {
  readonly entry: EgressIp
  readonly atMs: number
  /** The boot ids of the gateways that have the entry, by tunnel address. */
  readonly boots: ReadonlyMap<Address, string>
  /** It came from a pool, as far as this agent has seen. */
  readonly isFromPool: boolean
}

type Gateways = Pick<World, 'self' | 'nodes' | 'egressNodes' | 'unreachableNodes'>
type Wanted = Pick<Tables, 'self' | 'egressIps' | 'orphaned' | 'poolAddresses'>

/**
 * Egress IPs that no policy names any more. Their flows continue, on this node and on others, and no node knows when the
 * last one ends. So they stay for as long as a TCP connection may be silent. A gateway whose machine reboots meanwhile has
 * forgotten them, so the others of the order carry their flows without it.
 */
export class Lingering {
  readonly #lastWanted = new Map<Address, Remembered>()
  readonly #lingerMs: number

  constructor(lingerMs: number) {
    this.#lingerMs = lingerMs
  }

  /** For each of them the gateways that may answer for it, as when a policy last named it. */
  get known(): Required<Pick<World, 'lingeringOrders' | 'lingeringFromPools'>> {
    const all = [...this.#lastWanted]
    return {
      lingeringOrders: new Map(all.map(([address, { entry }]) => [address, entry.order])),
      lingeringFromPools: new Set(all.flatMap(([address, { isFromPool }]) => (isFromPool ? [address] : []))),
    }
  }

  /** Entries that are in the kernel from the previous agent count as wanted until now. */
  restore(entries: Iterable<readonly [Address, EgressIp]>, nowMs: number): void {
    for (const [address, entry] of entries)
      this.#lastWanted.set(address, { entry, atMs: nowMs, boots: new Map(), isFromPool: false })
  }

  /** `released` are those that must not stay. */
  update(
    { self, egressIps: wanted, orphaned, poolAddresses }: Wanted,
    gateways: Gateways,
    nowMs: number,
    released: readonly Address[] = [],
  ): ReadonlyMap<Address, EgressIp> {
    const present = bootsOf(gateways)
    for (const address of released) this.#lastWanted.delete(address)
    for (const [address, { atMs }] of this.#lastWanted)
      if (atMs + this.#lingerMs < nowMs && !wanted.has(address)) this.#lastWanted.delete(address)
    for (const [address, remembered] of this.#lastWanted)
      if (!wanted.has(address)) this.#lastWanted.set(address, withoutRebooted(address, remembered, present))
    const mistaken = mistakenAddresses(self, gateways)
    for (const [address, entry] of wanted) {
      if (mistaken.has(address)) continue
      const before = this.#lastWanted.get(address)?.boots
      const boots = noteBoots(entry, before, present)
      this.#lastWanted.set(address, { entry, atMs: nowMs, boots, isFromPool: poolAddresses.has(address) })
    }
    return new Map(
      [...this.#lastWanted].map(([address, { entry }]) => {
        const order = orphaned.get(address)
        return [address, order === undefined ? entry : { ...entry, order }]
      }),
    )
  }
}

/**
 * The Node object lists them, and this node does not have them. One of them may be an egress IP, whose flows this node would lose if it
 * remembered the address as its own.
 */
function mistakenAddresses(
  { masquerade4, masquerade6 }: Tables['self'],
  { self, egressNodes }: Gateways,
): ReadonlySet<Address> {
  const interfaces = egressNodes.find(({ metadata }) => metadata.name === self)?.status?.interfaces
  if (interfaces === undefined) return new Set()
  const own = new Set<string>(interfaces.flatMap(({ addresses }) => addresses))
  return new Set(
    [masquerade4, masquerade6].filter((each) => each !== undefined).filter((each) => !own.has(each)),
  )
}

interface Boot {
  readonly bootId: string
  /** It answers probes, as far as this node knows, so it has its tables. */
  readonly isReachable: boolean
  /** Addresses that it has again after each boot. */
  readonly configured: ReadonlySet<string>
}

/** By tunnel address. */
function bootsOf({ nodes, egressNodes, unreachableNodes }: Gateways): ReadonlyMap<Address, Boot> {
  const configured = new Map(
    egressNodes.map(({ metadata, status }) => [
      metadata.name,
      (status?.interfaces ?? []).flatMap(({ addresses }) => addresses),
    ]),
  )
  return new Map(
    nodes.flatMap((node) => {
      const { name, bootId, internalIPs } = node
      if (bootId === undefined || internalIPs.length === 0) return []
      const boot = {
        bootId,
        isReachable: unreachableNodes?.has(name) !== true,
        configured: new Set(configured.get(name)),
      }
      return [[tunnelAddressOf(node), boot] as const]
    }),
  )
}

/** A gateway that has booted again has the entry once it answers: it answers when its tables are written. */
function noteBoots(
  { order }: EgressIp,
  before: Remembered['boots'] | undefined,
  present: ReadonlyMap<Address, Boot>,
): Remembered['boots'] {
  return new Map(
    order.flatMap((gateway) => {
      const known = before?.get(gateway)
      const boot = present.get(gateway)
      const bootId = known !== undefined && boot?.isReachable !== true ? known : boot?.bootId
      return bootId === undefined ? [] : [[gateway, bootId] as const]
    }),
  )
}

/** An address that is configured on a gateway stays there. Replies arrive there whatever other gateways do. */
function withoutRebooted(
  address: Address,
  remembered: Remembered,
  present: ReadonlyMap<Address, Boot>,
): Remembered {
  const { entry } = remembered
  const boots = new Map([...noteBoots(entry, undefined, present), ...remembered.boots])
  const order = entry.order.filter((gateway) => {
    const boot = present.get(gateway)
    return boot === undefined || boot.bootId === boots.get(gateway) || boot.configured.has(address)
  })
  return order.length === entry.order.length
    ? { ...remembered, boots }
    : { ...remembered, boots, entry: { ...entry, order } }
}
