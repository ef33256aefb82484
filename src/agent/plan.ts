import type { AddressConflict } from '../api/egress-node.ts'
import type { Desired } from '../datapath/desired.ts'
import type { Pod } from '../datapath/tables/policy-tables.ts'
import { addressConflicts } from '../decide/pools/address-conflicts.ts'
import { releasedAddresses } from '../decide/ports/lingering.ts'
import type { EgressIp, Tables } from '../decide/tables.ts'
import type { World } from '../decide/world.ts'
import { type Address, familyOf, parseAddress } from '../net/address.ts'
import type { ServiceWire } from './node/service-device.ts'
import type { Attachment } from './pods/attachments.ts'

/** The tunnel device of this node. */
export interface Overlay {
  readonly ifindex: number
  readonly mac: string
  /** The largest inner IP packet that fits into the tunnel without fragmentation. */
  readonly mtu: number
  /** Of the device by which translated packets enter the stack, if they do. */
  readonly forwardIfindex?: number
  /** Absent: the node's processes reach Services in another way. */
  readonly services?: ServiceWire
}

/** What only this node knows. */
interface NodeKnowledge {
  /** Egress IPs that no policy names any more. Flows may still have them. */
  readonly lingering: ReadonlyMap<Address, EgressIp>
  /** Egress IPs of this node that another host may have. No packet leaves with them. */
  readonly unusable: ReadonlySet<Address>
  /** The index of the only device for packets of these egress IPs. */
  readonly bound: ReadonlyMap<Address, number>
  /** Absent: the tunnel is the only path between nodes. */
  readonly links?: Links | undefined
}

export type Links = Pick<Desired, 'links' | 'linkMacs'>

const noLinks: Links = { links: new Map(), linkMacs: new Map() }

/** The desired content of the kernel's tables: the decision, with the devices that only this node knows. */
export function planDatapath(
  tables: Tables,
  attachments: readonly Attachment[],
  overlay: Overlay,
  { lingering, unusable, bound, links = noLinks }: NodeKnowledge,
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
    ...links,
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
    services: tables.services,
    networkRules: tables.networkRules,
    portLists: tables.portLists,
    pods: new Map([
      ...attachments.flatMap((attachment) => podEntries(tables, attachment)),
      ...nodeEntries(overlay.services),
    ]),
    nodeClients: new Map((overlay.services?.clients ?? []).map((each) => [familyOf(each.address), each])),
  }
}

/** No policy selects the node's own processes. Their flows stay when the agent makes the entry again. */
function nodeEntries(wire: ServiceWire | undefined): readonly (readonly [Address, Pod])[] {
  if (wire === undefined) return []
  const { clients, ifindex, mac, hostMac } = wire
  const entry = {
    policySet: 0n,
    networkSet: 0n,
    sinceNs: 0n,
    ifindex,
    mac,
    hostMac,
    isQuarantined: false,
    isNode: true,
  }
  return clients.map(({ address }) => [address, entry])
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
        networkSet: isKnown ? decided.networkSet : 0n,
        sinceNs,
        ifindex: wired.ifindex,
        mac: wired.mac,
        hostMac: wired.hostMac,
        isQuarantined: !isKnown,
        isNode: false,
      },
    ]
  })
}

/**
 * Addresses that do not linger. A person released them. Or another host has them, as this node or another one found. Or only
 * the other CNI plugin masquerades with them: they may have been egress IPs before the node was chained.
 */
export function endedAddresses(
  world: Pick<World, 'nodes' | 'settings' | 'egressNodes' | 'egressAddresses'>,
  { self, sharesAddress }: { readonly self: string; readonly sharesAddress: boolean },
  conflictsHere: readonly Pick<AddressConflict, 'address'>[],
): readonly Address[] {
  const own = world.nodes.find(({ name }) => name === self)?.internalIPs ?? []
  return [
    ...(world.settings.isChained && !sharesAddress ? own : []),
    ...conflictsHere.flatMap(({ address }) => parseAddress(address) ?? []),
    ...addressConflicts(world.egressNodes).keys(),
    ...releasedAddresses(world.egressAddresses),
  ]
}
