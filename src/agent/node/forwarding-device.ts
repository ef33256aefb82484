import { createVeth, type Device, deleteDevice, findDevice, setDevice } from '../../linux/devices.ts'
import type { Machine } from '../../linux/machine.ts'
import type { Netlink } from '../../linux/netlink.ts'
import { ensureNotTracked, removeNotTracked } from '../../linux/notrack.ts'
import type { Overlay } from '../plan.ts'
import { ensureDummyAddress } from './node-network.ts'

/**
 * By this device translated packets enter the stack, with `gatewayForwarding: stack`. Administrators name it in rules. It
 * is one end of a pair whose other end stays down: the programs put packets in front of it.
 */
export const forwardingName = 'sallyport-fwd'
const otherEnd = `${forwardingName}-p`

/** What `gatewayForwarding: stack` needs in the kernel. Returns the index of the device. */
export function ensureForwarding(netlink: Netlink, machine: Machine, overlay: Overlay): number {
  ensureNotTracked(forwardingName)
  return ensureForwardingDevice(netlink, machine, overlay)
}

/** What an agent with `gatewayForwarding: stack` left. */
export function removeForwarding(netlink: Netlink, devices: readonly Pick<Device, 'name'>[]): void {
  if (!devices.some(({ name }) => name === forwardingName)) return
  removeForwardingDevice(netlink)
  removeNotTracked()
}

/** Returns its index. It has the tunnel's MAC, which the programs know. */
function ensureForwardingDevice(netlink: Netlink, machine: Machine, { mac, mtu }: Overlay): number {
  let device = findDevice(netlink, forwardingName)
  if (device === undefined) {
    createVeth(netlink, { name: forwardingName, mac, peer: { name: otherEnd } })
    device = findDevice(netlink, forwardingName)
  }
  if (device === undefined) throw new Error(`device ${forwardingName} disappeared while the agent created it`)
  if (device.kind !== 'veth')
    throw new Error(
      `device ${forwardingName} is a ${device.kind ?? 'hardware'} device, and the agent needs the name for a veth device: rename it`,
    )
  if (device.mac !== mac || device.mtu !== mtu || !device.isUp)
    setDevice(netlink, device.index, { mac, mtu, hasArp: false, isUp: true })
  ensureDummyAddress(netlink, device.index)
  const knobs = `net/ipv4/conf/${forwardingName}`
  machine.writeSysctl(
    `${knobs}/accept_local`,
    '1',
    'the stack forwards packets of egress IPs, which are the node’s own addresses',
  )
  machine.writeSysctl(
    `${knobs}/rp_filter`,
    '2',
    'the stack forwards packets of egress IPs, although its routes to them use another device',
  )
  return device.index
}

/** Returns whether it was there. */
export function removeForwardingDevice(netlink: Netlink): boolean {
  const device = findDevice(netlink, forwardingName)
  if (device?.kind !== 'veth') return false
  deleteDevice(netlink, device.index)
  return true
}
