import { type DeviceAddress, listAddresses, putAddress } from '../../linux/device-addresses.ts'
import {
  createVxlan,
  type Device,
  deleteDevice,
  findDevice,
  listDevices,
  setDevice,
} from '../../linux/devices.ts'
import type { Machine } from '../../linux/machine.ts'
import type { Netlink } from '../../linux/netlink.ts'
import { listRoutes } from '../../linux/routes.ts'
import { type Address, type Family, familyOf, isLinkLocal } from '../../net/address.ts'
import { type PortRange, regions } from '../../net/ports.ts'
import {
  hostLength,
  lastAddress,
  type Prefix,
  parsePrefix,
  prefixAddress,
  prefixLength,
} from '../../net/prefix.ts'
import type { Overlay } from '../plan.ts'
import type { Attachment } from '../pods/attachments.ts'
import { isServiceDevice } from './service-device.ts'

export const overlayName = 'sallyport'

/** VXLAN in IPv4: outer Ethernet 14, IP 20, UDP 8, VXLAN 8. In IPv6 the IP header has 20 more. */
const tunnelOverhead = { 4: 50, 6: 70 } as const

/** What the node needs to know about one of its devices. */
export interface NodeDevice extends Device {
  readonly addresses: readonly Address[]
  /** The prefixes that are on-link because of its addresses. */
  readonly subnets: readonly Prefix[]
  /** The routers of its default routes. */
  readonly routers?: readonly Address[]
  /** The destinations to which the node's main routes lead by this device, or by one of several devices. */
  readonly reaches?: readonly Prefix[]
  /** The device has the default route with the lowest metric of either family. */
  readonly isDefaultRoute: boolean
  /** The metric of its default route for each family. */
  readonly defaultMetrics: DefaultMetrics
}

type DefaultMetrics = { readonly [F in Family]?: number }

/** What the agent knows about its node's network until something changes it. */
export interface NodeNetwork {
  readonly devices: readonly NodeDevice[]
  readonly ownAddresses: readonly Address[]
}

export function observeNetwork(netlink: Netlink): NodeNetwork {
  return { devices: listNodeDevices(netlink), ownAddresses: listOwnAddresses(netlink) }
}

/**
 * Every address at which the kernel delivers packets to this node, on any device, and the broadcast addresses of its
 * subnets. Loopback addresses are left out, because packets on a wire cannot have them. So is fe80::/10, because its
 * addresses belong to other hosts on other links.
 */
export function listOwnAddresses(netlink: Netlink): Address[] {
  const addresses = listAddresses(netlink).filter(
    ({ scope, isTentative, address }) => scope !== 'host' && !isTentative && !isLinkLocal(address),
  )
  return [...new Set(addresses.flatMap((each) => [each.address, ...broadcastOf(each)]))]
}

function broadcastOf({ address, prefixLength }: DeviceAddress): readonly Address[] {
  const subnet = parsePrefix(`${address}/${prefixLength}`)
  return subnet === undefined || familyOf(address) === 6 || prefixLength > 30 ? [] : [lastAddress(subnet)]
}

/**
 * Devices with their addresses in the kernel's order. Tentative addresses do not count yet. The loopback device is among them
 * if it has an address that other hosts can use: BGP announces such addresses. It leads nowhere, so it has no link and no MAC.
 */
export function listNodeDevices(netlink: Netlink): NodeDevice[] {
  const addresses = listAddresses(netlink).filter((address) => !address.isTentative)
  const routes = listUnicastRoutes(netlink)
  const defaults = routes.filter(({ destination }) => prefixLength(destination) === 0)
  const used = Map.groupBy(usedRoutes(routes), ({ ifindex }) => ifindex)
  const preferred = new Set([4, 6].map((family) => defaults.find((each) => each.family === family)?.ifindex))
  return listDevices(netlink)
    .map((device) => ({
      device,
      own: addresses.filter((each) => each.index === device.index && isUsable(each)),
    }))
    .filter(({ device, own }) => !device.isLoopback || own.length > 0)
    .map(({ device, own }) => {
      if (device.isLoopback) return holderOf(device, own)
      return {
        ...device,
        addresses: own.map(({ address }) => address),
        subnets: [...new Set(own.flatMap(subnetOf))],
        routers: [
          ...new Set(defaults.flatMap(({ ifindex, via }) => (ifindex === device.index && via ? via : []))),
        ],
        reaches: [device.index, undefined].flatMap((index) =>
          (used.get(index) ?? []).map(({ destination }) => destination),
        ),
        isDefaultRoute: preferred.has(device.index),
        defaultMetrics: Object.fromEntries(
          defaults
            .filter(({ ifindex }) => ifindex === device.index)
            .toReversed()
            .map(({ family, metric }) => [family, metric]),
        ),
      }
    })
}

function holderOf(device: Device, own: readonly DeviceAddress[]): NodeDevice {
  const addresses = own.map(({ address }) => address)
  return { ...device, mac: undefined, addresses, subnets: [], isDefaultRoute: false, defaultMetrics: {} }
}

/** Those of the main table, sorted by metric, the lowest first. The kernel would use that one. */
function listUnicastRoutes(netlink: Netlink) {
  return ([4, 6] as const)
    .flatMap((family) => listRoutes(netlink, { family }).map((route) => ({ ...route, family })))
    .filter(({ kind, destination }) => kind === 'unicast' && !isLinkLocal(prefixAddress(destination)))
    .map(({ destination, family, ifindex, via, metric = 0 }) => ({
      destination,
      family,
      ifindex,
      via,
      metric,
    }))
    .toSorted((a, b) => a.metric - b.metric)
}

/** Of several routes to one destination, the kernel uses the first one with the lowest metric. Routes by several devices name none. */
function usedRoutes(sorted: ReturnType<typeof listUnicastRoutes>): ReturnType<typeof listUnicastRoutes> {
  const first = new Map(sorted.toReversed().map((route) => [route.destination, route]))
  return [...first.values()].reverse()
}

function subnetOf({ address, prefixLength, scope }: DeviceAddress): readonly Prefix[] {
  const isWhole = prefixLength === hostLength(address)
  return isWhole || scope === 'link' ? [] : [parsePrefix(`${address}/${prefixLength}`) ?? []].flat()
}

function isUsable(address: DeviceAddress): boolean {
  return address.scope === 'global' || address.scope === 'site' || address.scope === 'link'
}

/** The devices that carry packets, without the egress IPs that the agent added. Those addresses may move to another node. */
export function withoutAdded(
  devices: readonly NodeDevice[],
  added: ReadonlySet<Address>,
): readonly NodeDevice[] {
  return devices
    .filter(({ isLoopback }) => !isLoopback)
    .map((device) => ({
      ...device,
      addresses: device.addresses.filter((address) => !added.has(address)),
    }))
}

/**
 * The devices without those of pods, and without the pair for Services. They do not lead out of the node, and their addresses are not
 * the node's.
 */
export function withoutPods(
  devices: readonly NodeDevice[],
  attachments: readonly Attachment[],
): readonly NodeDevice[] {
  const wired = new Set(attachments.map((attachment) => attachment.wired?.ifindex))
  return devices.filter(
    (device) => !wired.has(device.index) && !isPodDevice(device) && !isServiceDevice(device),
  )
}

/** `hostDeviceName` makes the names of our own veth devices. */
export function isPodDevice(device: Device): boolean {
  return /^sp[0-9a-f]{12}$/.test(device.name) && device.kind === 'veth'
}

/**
 * No host sends to this address or from it: the "IPv4 dummy address" of RFC 7600. On a device without an address, the kernel
 * accepts packets only from sources that it would reach through the same device, even if rp_filter is 2.
 */
const dummyAddress = '192.0.0.8' as Address

/**
 * Sets the address only if it is missing. The kernel reports an address even if it is set again, and each report causes a
 * reconciliation.
 */
export function ensureDummyAddress(netlink: Netlink, index: number): void {
  const isPresent = listAddresses(netlink).some(
    ({ index: of, address }) => of === index && address === dummyAddress,
  )
  if (!isPresent) putAddress(netlink, { index, address: dummyAddress, prefixLength: 32, isOfHost: true })
}

/** The tunnel's device. It is created again if its port is not the wanted one. After a restart the agent finds it as it was. */
export function ensureOverlay(
  netlink: Netlink,
  devices: readonly NodeDevice[],
  wanted: { readonly port: number; readonly mtu: number; readonly tunnelAddress: Address },
): Overlay {
  const underlay = devices.find((device) => device.addresses.includes(wanted.tunnelAddress))
  if (underlay === undefined)
    throw new Error(
      `no device has ${wanted.tunnelAddress}, this node's address in the cluster: wait until the node's network is up, or correct the kubelet's --node-ip`,
    )
  const mtu = wanted.mtu || underlay.mtu - tunnelOverhead[familyOf(wanted.tunnelAddress)]
  let overlay = findDevice(netlink, overlayName)
  if (overlay?.vxlanPort !== undefined && overlay.vxlanPort !== wanted.port) {
    deleteDevice(netlink, overlay.index)
    overlay = undefined
  }
  if (overlay === undefined) {
    createVxlan(netlink, { name: overlayName, mtu, port: wanted.port })
    overlay = findDevice(netlink, overlayName)
    if (overlay === undefined) throw new Error(`device ${overlayName} disappeared while the agent created it`)
  }
  if (overlay.mtu !== mtu || !overlay.isUp)
    setDevice(netlink, overlay.index, { mtu, hasArp: false, isUp: true })
  ensureDummyAddress(netlink, overlay.index)
  if (overlay.mac === undefined)
    throw new Error(`device ${overlayName} has no MAC address, so it is not the tunnel: rename or delete it`)
  return { ifindex: overlay.index, mac: overlay.mac, mtu }
}

/** The ports of every node address that are reserved for pods' traffic. In chained mode, only for traffic of policies. */
export const reservedPorts = {
  standalone: { first: regions.masquerade.first, last: regions.shared.last },
  chained: regions.shared,
} as const

export function portsToReserve(settings: {
  readonly isChained: boolean
  readonly sharesAddress: boolean
}): PortRange | undefined {
  if (!settings.isChained) return reservedPorts.standalone
  return settings.sharesAddress ? reservedPorts.chained : undefined
}

interface KernelUse {
  readonly reserved: PortRange | undefined
  /** The stack forwards packets of pods, which may have IPv6 although the node has no IPv6 address. */
  readonly isStackUsed: boolean
}

/** Kernel settings that have to be made once. Each has the reason: what fails without it. */
export function prepareKernel(
  machine: Machine,
  { reserved, isStackUsed }: KernelUse,
  devices: readonly NodeDevice[],
): void {
  const ipv6Devices = devices.filter(isStackUsed ? hasIpv6 : isReachedByIpv6)
  machine.writeSysctl('net/ipv4/ip_forward', '1', 'a gateway may forward for other nodes')
  if (ipv6Devices.length > 0 || (isStackUsed && knowsIpv6(machine))) forwardIpv6(machine, ipv6Devices)
  machine.writeSysctl(
    `net/ipv4/conf/${overlayName}/rp_filter`,
    '2',
    'packets of other nodes are accepted from the tunnel although their route is another device',
  )
  if (reserved !== undefined)
    machine.reservePorts(
      reserved.first,
      reserved.last,
      "the node's own sockets do not take ports that pods leave with",
    )
}

function hasIpv6({ addresses }: NodeDevice): boolean {
  return addresses.some((address) => familyOf(address) === 6)
}

/**
 * Whether the device has an IPv6 address that other networks can reach. If the kernel has IPv6, every device has a
 * link-local one.
 */
function isReachedByIpv6({ addresses }: NodeDevice): boolean {
  return addresses.some((address) => familyOf(address) === 6 && !isLinkLocal(address))
}

function knowsIpv6(machine: Machine): boolean {
  try {
    machine.readSysctl('net/ipv6/conf/all/forwarding')
    return true
  } catch {
    return false
  }
}

/** A host that forwards ignores router advertisements and would lose its own default route, unless a sysctl allows them. */
function forwardIpv6(machine: Machine, devices: readonly NodeDevice[]): void {
  for (const { name } of devices) {
    const knob = `net/ipv6/conf/${name}/accept_ra`
    if (machine.readSysctl(knob) === '1')
      machine.writeSysctl(knob, '2', 'the node keeps the routes that it has from router advertisements')
  }
  machine.writeSysctl('net/ipv6/conf/all/forwarding', '1', 'a gateway may forward IPv6 for other nodes')
}
