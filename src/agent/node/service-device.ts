import type { NodeClientEntry } from '../../datapath/tables/service-tables.ts'
import type { Tables } from '../../decide/tables.ts'
import { deleteAddress, listAddresses, putAddress } from '../../linux/device-addresses.ts'
import { createVeth, type Device, deleteDevice, findDevice, setDevice } from '../../linux/devices.ts'
import type { Machine } from '../../linux/machine.ts'
import { putNeighbour } from '../../linux/neighbours.ts'
import type { Netlink } from '../../linux/netlink.ts'
import { deletePortRule, listPortRules } from '../../linux/port-rules.ts'
import type { Route } from '../../linux/routes.ts'
import { type Address, familyOf, isLinkLocal } from '../../net/address.ts'
import { familyOfPrefix, hostLength, hostPrefix, type Prefix, prefixAddress } from '../../net/prefix.ts'
import { routerAddress } from '../pods/pod-addresses.ts'

/*
 * How the node's own processes reach Services without kube-proxy. To the datapath the node is one more pod: it has a device
 * pair, one end of which has the program from_pod, and an address in the pod network.
 *
 *   process ── route to the Service ── sallyport-host ═ sallyport-svc ── from_pod ── endpoint
 */

export const serviceDevices = { program: 'sallyport-svc', host: 'sallyport-host' } as const

export function isServiceDevice({ name, kind }: Device): boolean {
  return kind === 'veth' && Object.values<string>(serviceDevices).includes(name)
}

/** The node as a client of Services. */
export interface ServiceWire {
  /** The end that has the program. */
  readonly ifindex: number
  /** The end to which the routes lead. */
  readonly hostIfindex: number
  readonly mac: string
  readonly hostMac: string
  /** One of each family of the node's pods. */
  readonly clients: readonly NodeClientEntry[]
}

/** The next hop of the routes: one neighbour instead of one for each Service. No packet has these addresses. */
const nextHops = { 4: '169.254.1.1' as Address, 6: 'fe80::1' as Address } as const

/**
 * The address that pods have for their router, of the first prefix of each family. No other packet of the node comes from it,
 * so no port of it can belong to a flow to a Service and to one past it at the same time. The prefix's own address is
 * for processes that reach processes of the same node. It leads into the device, so their answers pass the program. No pod gets it.
 */
function clientsOf(podCIDRs: readonly Prefix[]): readonly NodeClientEntry[] {
  return ([4, 6] as const).flatMap((family) => {
    const first = podCIDRs.find((each) => familyOfPrefix(each) === family)
    return first === undefined ? [] : { address: routerAddress(first), turned: prefixAddress(first) }
  })
}

/** Makes what is missing. The routes and the program come later. */
export function ensureServiceWire(
  netlink: Netlink,
  machine: Machine,
  { podCIDRs, mtu }: { readonly podCIDRs: readonly Prefix[]; readonly mtu: number },
): ServiceWire {
  const clients = clientsOf(podCIDRs)
  const addresses = clients.map(({ address }) => address)
  const { program, host } = serviceDevices
  if (findDevice(netlink, program) === undefined)
    createVeth(netlink, { name: program, mtu, peer: { name: host, mtu } })
  const [inner, outer] = [vethNamed(netlink, program), vethNamed(netlink, host)]
  for (const device of [inner, outer])
    if (!device.isUp || device.mtu !== mtu)
      setDevice(netlink, device.index, { mtu, hasArp: false, isUp: true })
  const known = listAddresses(netlink).filter(({ index }) => index === outer.index)
  for (const address of addresses) {
    putNeighbour(netlink, { index: outer.index, address: nextHops[familyOf(address)], mac: inner.mac })
    if (!known.some((each) => each.address === address)) putClientAddress(netlink, outer.index, address)
  }
  for (const each of known)
    if (!addresses.includes(each.address) && !isLinkLocal(each.address)) deleteAddress(netlink, each)
  if (addresses.some((address) => familyOf(address) === 6))
    machine.writeSysctl(
      `net/ipv6/conf/${program}/disable_ipv6`,
      '1',
      'what the program does not send on goes no further, least of all back to the Service',
    )
  for (const [name, value, reason] of hostKnobs)
    machine.writeSysctl(`net/ipv4/conf/${host}/${name}`, value, reason)
  return { ifindex: inner.index, hostIfindex: outer.index, mac: outer.mac, hostMac: inner.mac, clients }
}

const hostKnobs = [
  ['accept_local', '1', 'node ports at the node’s own addresses answer its processes'],
  [
    'rp_filter',
    '2',
    'Services answer processes from addresses to which the node’s routes use another device',
  ],
] as const

/** The node's sockets choose it for Services alone, because the routes name it. */
function putClientAddress(netlink: Netlink, index: number, address: Address): void {
  putAddress(netlink, {
    index,
    address,
    prefixLength: hostLength(address),
    hasPrefixRoute: false,
    isDeprecated: true,
    isOfHost: familyOf(address) === 4,
  })
}

function vethNamed(netlink: Netlink, name: string): Device & { readonly mac: string } {
  const device = findDevice(netlink, name)
  if (device?.kind !== 'veth' || device.mac === undefined)
    throw new Error(
      device === undefined
        ? `device ${name} disappeared while the agent created it`
        : `device ${name} is a ${device.kind ?? 'hardware'} device, and the agent needs the name for a veth device: rename it`,
    )
  return { ...device, mac: device.mac }
}

/** What an agent with `kubeProxyReplacement=strict` left. Returns whether it was there. */
export function removeServiceWire(netlink: Netlink): boolean {
  for (const rule of listPortRules(netlink)) deletePortRule(netlink, rule)
  const device = findDevice(netlink, serviceDevices.program)
  if (device?.kind !== 'veth') return false
  deleteDevice(netlink, device.index)
  return true
}

/**
 * A route to each cluster IP. The range of cluster IPs is not routed as a whole: no setting has to say what it is, and an address
 * without a Service leads nowhere else than before. External addresses have no routes, because ports that are of no Service may
 * be those of another server.
 */
export function serviceRoutes(services: Tables['services'], wire: ServiceWire, mtu: number): Route[] {
  const clusterIps = services.flatMap(({ kind, address }) => (kind === 'ClusterIP' ? address : []))
  const addresses = new Set([...wire.clients.map(({ turned }) => turned), ...clusterIps])
  return [...addresses].flatMap((address) => routeInto(wire, address, { mtu }) ?? [])
}

/** Undefined if the node has no pods of the address's family. By default, sockets without an address get that of the client. */
export function routeInto(
  { clients, hostIfindex }: Pick<ServiceWire, 'clients' | 'hostIfindex'>,
  to: Address,
  { mtu, source }: { readonly mtu: number; readonly source?: Address | undefined },
): Route | undefined {
  const family = familyOf(to)
  const client = clients.find(({ address }) => familyOf(address) === family)?.address
  if (client === undefined) return undefined
  const hop = { via: nextHops[family], isOnLink: true, ifindex: hostIfindex }
  return { destination: hostPrefix(to), kind: 'unicast', ...hop, source: source ?? client, mtu }
}
