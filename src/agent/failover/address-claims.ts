import type { AddressConflict } from '../../api/egress-node.ts'
import type { Address } from '../../net/address.ts'
import type { NodeDevice } from '../node/node-network.ts'
import { linkOf } from './links.ts'
import type { FailoverEffect, FailoverEvent, FailoverState, FailoverStep, Moment } from './state.ts'

/*
 * Whether this node may use an address that it is to have as its own: a host outside the cluster may have it already.
 * The rules are those of RFC 5227, for IPv6 too. A new address of a pool is probed before its first use. A conflict that comes
 * later is answered by one announcement. If the other host still claims the address after it, this node stops using it
 * (section 2.4). An address that the cluster uses already is not probed: it moves between gateways at once.
 */

/** The end of a link by which hosts are asked for an address. */
export interface ClaimLink {
  readonly index: number
  readonly mac: string
  readonly name: string
}

export type Claim =
  /** The agent has asked, and no host has answered yet. The node does not use the address until the time for answers is over. */
  | { readonly kind: 'probing'; readonly link: ClaimLink }
  | {
      readonly kind: 'clear'
      /** Undefined if no network of the node contains the address: no host can be asked then. */
      readonly link: ClaimLink | undefined
      /** No policy uses the address any more, and flows may still have it. */
      readonly isLingering: boolean
      readonly defendedAtMs?: number
    }
  /** Another host has it. The node does not use it. */
  | { readonly kind: 'conflict'; readonly link: ClaimLink; readonly mac: string; readonly heardAtMs: number }

/** Not yet, or not any more. */
export function isUnusable(claim: Claim | undefined): boolean {
  return claim?.kind === 'probing' || claim?.kind === 'conflict'
}

/** Addresses of this node that its tables must not have: what they forwarded would leave with another host's address. */
export function unusableAddresses({ claims }: Pick<FailoverState, 'claims'>): ReadonlySet<Address> {
  return new Set([...claims].flatMap(([address, claim]) => (isUnusable(claim) ? [address] : [])))
}

/** What this node reports: for which addresses another host answers. By address. */
export function conflictsOf({ claims }: Pick<FailoverState, 'claims'>): AddressConflict[] {
  return [...claims]
    .flatMap(([address, claim]) =>
      claim.kind === 'conflict' ? [{ address, mac: claim.mac, interface: claim.link.name }] : [],
    )
    .toSorted((a, b) => (a.address < b.address ? -1 : 1))
}

type OwnDecided = Extract<FailoverEvent, { readonly kind: 'ownDecided' }>

/** Copies of one announcement, and answers to what came before the defence, are no second conflict. */
const defenceSettlesMs = 2_000
/**
 * A host that claims the address again within this time after the defence has won. RFC 5227 sets 10 s (DEFEND_INTERVAL). This is
 * longer, because the agent asks a host that announces nothing only every 10 s.
 */
const defenceHoldsMs = 600_000
/** How long after the other host's last answer the address may be tried again. */
export const conflictMemoryMs = 600_000

/** Which addresses are this node's own now. Comes before the tables that use them are written. */
export function noteOwnAddresses(before: FailoverState, event: OwnDecided, now: Moment): FailoverStep {
  const { tables, lingering } = event
  const conflicts = [...before.claims].filter(
    ([, claim]) => claim.kind === 'conflict' && now.ms - claim.heardAtMs < conflictMemoryMs,
  )
  const claims = new Map<Address, Claim>(conflicts)
  for (const [address, { order }] of lingering)
    if (order[0] === tables.self.tunnelAddress && !tables.egressIps.has(address) && !claims.has(address))
      claims.set(address, lingeringClaim(address, before, event))
  for (const [address, { node }] of tables.poolAddresses)
    if (node === before.node && claims.get(address)?.kind !== 'conflict')
      claims.set(address, claimOf(address, before, event))
  const probes = [...claims].flatMap(([address, claim]): readonly FailoverEffect[] =>
    claim.kind !== 'probing' || claim === before.claims.get(address)
      ? []
      : [{ kind: 'probeAddress', address, link: claim.link }],
  )
  const inherited = new Set([...before.inherited].filter((address) => lingering.has(address)))
  return {
    state: { ...before, claims, inherited, clusterMacs: tables.clusterHosts.macs },
    effects: [...probes, { kind: 'watchAddresses', links: watchedLinks(claims) }],
  }
}

/**
 * An address that another gateway has lost may be on a host outside the cluster by now, so it is probed before this node
 * answers for it.
 */
function lingeringClaim(
  address: Address,
  { claims, held }: FailoverState,
  { tables, devices }: OwnDecided,
): Claim {
  const link = linkEnd(address, devices)
  const known = claims.get(address)
  const isKnown = known?.kind === 'clear' || held.has(address) || !tables.orphaned.has(address)
  if (isKnown || link === undefined) return { kind: 'clear', link, isLingering: true }
  return known?.kind === 'probing' && known.link.index === link.index ? known : { kind: 'probing', link }
}

function claimOf(address: Address, before: FailoverState, event: OwnDecided): Claim {
  const known = before.claims.get(address)
  const link = linkEnd(address, event.devices)
  if (known?.kind === 'clear') return { ...known, link, isLingering: false }
  if (link === undefined || isInUse(address, before, event))
    return { kind: 'clear', link, isLingering: false }
  return known?.kind === 'probing' && known.link.index === link.index ? known : { kind: 'probing', link }
}

function linkEnd(address: Address, devices: readonly NodeDevice[]): ClaimLink | undefined {
  const link = linkOf(address, devices)
  return link?.mac === undefined ? undefined : { index: link.index, mac: link.mac, name: link.name }
}

/**
 * By the cluster: this node has it on a device, another node reports it, it was another node's until now, or the previous agent left it
 * in the tables. An agent that starts may find it nowhere but there: other nodes have handed it back already, and send to this node.
 */
function isInUse(
  address: Address,
  { held, orders, inherited }: FailoverState,
  { tables, lingering, devices }: OwnDecided,
): boolean {
  const owner = orders.get(address)?.[0] ?? lingering.get(address)?.order[0] ?? tables.self.tunnelAddress
  return (
    held.has(address) ||
    inherited.has(address) ||
    owner !== tables.self.tunnelAddress ||
    tables.clusterHosts.addressesOfOthers.has(address) ||
    devices.some(({ addresses }) => addresses.includes(address))
  )
}

function watchedLinks(claims: FailoverState['claims']): ReadonlyMap<Address, ClaimLink> {
  return new Map(
    [...claims].flatMap(([address, { link }]) => (link === undefined ? [] : [[address, link] as const])),
  )
}

/** Nobody answered the probes. */
export function noteProbed(state: FailoverState, address: Address): FailoverStep {
  const claim = state.claims.get(address)
  if (claim?.kind !== 'probing') return { state, effects: [] }
  const clear: Claim = { kind: 'clear', link: claim.link, isLingering: false }
  return { state: withClaim(state, address, clear), effects: [{ kind: 'reconcile' }] }
}

/** A host of a link says that an address is its own. */
export function noteClaimed(
  state: FailoverState,
  { claim: { address, mac, isProbe } }: Extract<FailoverEvent, { readonly kind: 'claimed' }>,
  now: Moment,
): FailoverStep {
  const own = state.claims.get(address)
  const nothing = { state, effects: [] }
  if (own?.link === undefined || isOfCluster(mac, state)) return nothing
  const conflict: Claim = { kind: 'conflict', link: own.link, mac, heardAtMs: now.ms }
  const lose = (message: string): FailoverStep => ({
    state: withClaim(state, address, conflict),
    effects: [warning(address, conflict, message), { kind: 'reconcile' }],
  })
  if (own.kind === 'conflict') return { state: withClaim(state, address, conflict), effects: [] }
  if (own.kind === 'probing') return lose('another host has the egress IP; this node does not use it')
  /* The kernel answers a probe for an address that the node has, and the host then does not use it. */
  if (isProbe) return nothing
  if (own.isLingering)
    return lose(
      'another host uses the egress IP, which only lingers here; this node removes it, and its connections break',
    )
  const sinceMs = now.ms - (own.defendedAtMs ?? Number.NEGATIVE_INFINITY)
  if (sinceMs < defenceSettlesMs) return nothing
  if (sinceMs < defenceHoldsMs)
    return lose('another host still uses the egress IP after this node announced it; this node gives it up')
  return {
    state: withClaim(state, address, { ...own, defendedAtMs: now.ms }),
    effects: [
      { kind: 'defend', address, link: own.link },
      warning(address, conflict, 'another host uses the egress IP; this node announces it once'),
    ],
  }
}

/** While the MACs of some node are not known, any host may be that node. */
function isOfCluster(mac: string, { clusterMacs, devices }: FailoverState): boolean {
  return clusterMacs === undefined || clusterMacs.has(mac) || devices.some((device) => device.mac === mac)
}

function withClaim(state: FailoverState, address: Address, claim: Claim): FailoverState {
  return { ...state, claims: new Map(state.claims).set(address, claim) }
}

function warning(
  egressIP: Address,
  { mac, link }: Extract<Claim, { readonly kind: 'conflict' }>,
  message: string,
): FailoverEffect {
  return { kind: 'log', level: 'warn', fields: { egressIP, mac, device: link.name }, message }
}
