import { listAddresses } from '../../linux/device-addresses.ts'
import { findDevice, setDevice } from '../../linux/devices.ts'
import type { Machine } from '../../linux/machine.ts'

/** Sets `lo` of a pod's namespace up if it is down, and returns its addresses as prefixes. */
export function bringUpLoopback(machine: Machine, netns: string): readonly string[] {
  return machine.inNamespace(netns, (netlink) => {
    const device = findDevice(netlink, 'lo')
    if (device === undefined) throw new Error(`network namespace ${netns} has no device lo`)
    setDevice(netlink, device.index, { isUp: true })
    return listAddresses(netlink)
      .filter(({ index }) => index === device.index)
      .map(({ address, prefixLength }) => `${address}/${prefixLength}`)
  })
}
