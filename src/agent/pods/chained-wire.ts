import { type Device, findDevice } from '../../linux/devices.ts'
import { Netlink } from '../../linux/netlink.ts'
import { withNetns } from '../../linux/netns.ts'
import type { Wired } from './wire.ts'

/**
 * The device pair by which another plugin has wired a pod. Neither its names nor its result are asked: the two ends name
 * each other by index, and nothing else is as sure to be the way that the pod's packets take.
 */
export function findWire(
  netlink: Netlink,
  netns: string,
  interfaceName: string,
): { readonly device: string; readonly wired: Wired } {
  const inside = withNetns(netns, () => {
    using own = new Netlink()
    return findDevice(own, interfaceName)
  })
  if (inside === undefined) throw new Error(`${interfaceName} is not in the pod's namespace ${netns}`)
  if (inside.kind !== 'veth')
    throw new Error(
      `${interfaceName} of the pod is ${inside.kind ?? 'hardware'}: chained mode is for plugins that wire pods with veth pairs`,
    )
  const host = inside.peerIndex === undefined ? undefined : findDevice(netlink, inside.peerIndex)
  if (!isOtherEnd(host, inside))
    throw new Error(`the other end of the pod's ${interfaceName} is not in this node's own namespace`)
  return { device: host.name, wired: { ifindex: host.index, mac: inside.mac ?? '', hostMac: host.mac ?? '' } }
}

function isOtherEnd(host: Device | undefined, inside: Device): host is Device {
  return host?.kind === 'veth' && host.peerIndex === inside.index
}
