import { createHash } from 'node:crypto'
import { putAddress } from '../../linux/device-addresses.ts'
import { createVeth, deleteDevice, findDevice, setDevice } from '../../linux/devices.ts'
import type { Machine } from '../../linux/machine.ts'
import { putNeighbour } from '../../linux/neighbours.ts'
import type { Netlink } from '../../linux/netlink.ts'
import { putRoute, type Route } from '../../linux/routes.ts'
import { type Address, familyOf } from '../../net/address.ts'
import { hostLength, hostPrefix, type Prefix, parsePrefix } from '../../net/prefix.ts'

/** A device pair between a pod and this node. */
interface Wire {
  readonly netns: string
  readonly interfaceName: string
  readonly device: string
  readonly mtu: number
  readonly addresses: readonly { readonly address: Address; readonly router: Address }[]
}

export interface Wired {
  readonly ifindex: number
  readonly mac: string
  readonly hostMac: string
}

/** A name within the kernel's limit of 15 characters. Each interface of a container has its own device. */
export function hostDeviceName(containerId: string, interfaceName: string): string {
  return `sp${createHash('sha256').update(`${containerId}/${interfaceName}`).digest('hex').slice(0, 12)}`
}

const everything = { 4: parsePrefix('0.0.0.0/0') as Prefix, 6: parsePrefix('::/0') as Prefix }

/**
 * Wires a pod. `attach` attaches the programs to the host side before either end is up, so that no packet passes without
 * them. A device that an interrupted ADD left is replaced.
 */
export function wirePod(
  { netlink, machine }: { readonly netlink: Netlink; readonly machine: Machine },
  wire: Wire,
  attach: (ifindex: number) => void,
): Wired {
  const leftover = findDevice(netlink, wire.device)
  if (leftover !== undefined) deleteDevice(netlink, leftover.index)
  createVeth(netlink, {
    name: wire.device,
    mtu: wire.mtu,
    peer: { name: wire.interfaceName, mtu: wire.mtu, netns: wire.netns },
  })
  const host = findDevice(netlink, wire.device)
  if (host?.mac === undefined)
    throw new Error(`device ${wire.device} disappeared while the agent wired its pod`)
  attach(host.index)
  setDevice(netlink, host.index, { isUp: true })
  const mac = machine.inNamespace(wire.netns, (inside) => configureInside(inside, wire, host.mac as string))
  for (const { address } of wire.addresses) {
    putNeighbour(netlink, { index: host.index, address, mac })
    putRoute(netlink, {
      destination: hostPrefix(address),
      kind: 'unicast',
      ifindex: host.index,
      scope: 'link',
    })
  }
  return { ifindex: host.index, mac, hostMac: host.mac }
}

/** Configures the pod's side. The pod sends everything to the router's MAC, which is the MAC of the host side. */
function configureInside(netlink: Netlink, wire: Wire, routerMac: string): string {
  const device = findDevice(netlink, wire.interfaceName)
  if (device?.mac === undefined)
    throw new Error(`the pod's network namespace ${wire.netns} has no interface ${wire.interfaceName}`)
  const { index } = device
  setDevice(netlink, index, { isUp: true })
  for (const { address, router } of wire.addresses) {
    putAddress(netlink, {
      index,
      address,
      prefixLength: hostLength(address),
      hasPrefixRoute: false,
    })
    putNeighbour(netlink, { index, address: router, mac: routerMac })
    putRoute(netlink, { destination: hostPrefix(router), kind: 'unicast', ifindex: index, scope: 'link' })
    putRoute(netlink, defaultRoute(router, index))
  }
  return device.mac
}

function defaultRoute(router: Address, ifindex: number): Route {
  return { destination: everything[familyOf(router)], kind: 'unicast', via: router, ifindex }
}

/** Deletes the device. The kernel deletes the other end, its routes and neighbours with it. A missing device is not an error. */
export function unwirePod(netlink: Netlink, device: string): void {
  const found = findDevice(netlink, device)
  if (found !== undefined) deleteDevice(netlink, found.index)
}
