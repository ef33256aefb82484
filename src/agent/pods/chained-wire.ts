import { type Device, findDevice } from '../../linux/devices.ts'
import type { Machine } from '../../linux/machine.ts'
import type { Netlink } from '../../linux/netlink.ts'
import type { Wired } from './wire.ts'

/**
 * Finds the device pair with which another plugin wired a pod. It ignores device names and the plugin's result, and follows
 * the index that each end has of the other. Only this shows which device the pod's packets really pass.
 */
export function findWire(
  { netlink, machine }: { readonly netlink: Netlink; readonly machine: Machine },
  netns: string,
  interfaceName: string,
): { readonly device: string; readonly wired: Wired } {
  const inside = machine.inNamespace(netns, (own) => findDevice(own, interfaceName))
  if (inside === undefined)
    throw new Error(`the pod's network namespace ${netns} has no interface ${interfaceName}`)
  if (inside.kind !== 'veth')
    throw new Error(
      `interface ${interfaceName} of the pod is of kind ${inside.kind ?? 'hardware'}, but chained mode needs a CNI plugin that makes veth pairs`,
    )
  const host = inside.peerIndex === undefined ? undefined : findDevice(netlink, inside.peerIndex)
  if (!isOtherEnd(host, inside))
    throw new Error(
      `the host end of the pod's interface ${interfaceName} is not in the network namespace of the node`,
    )
  return { device: host.name, wired: { ifindex: host.index, mac: inside.mac ?? '', hostMac: host.mac ?? '' } }
}

function isOtherEnd(host: Device | undefined, inside: Device): host is Device {
  return host?.kind === 'veth' && host.peerIndex === inside.index
}
