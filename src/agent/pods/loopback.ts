import { listAddresses } from '../../linux/device-addresses.ts'
import { findDevice, setDevice } from '../../linux/devices.ts'
import { Netlink } from '../../linux/netlink.ts'
import { withNetns } from '../../linux/netns.ts'

/** Sets `lo` of a pod's namespace up, and answers with its addresses as prefixes. It does nothing to one that is up. */
export function bringUpLoopback(netns: string): readonly string[] {
  return withNetns(netns, () => {
    using netlink = new Netlink()
    const device = findDevice(netlink, 'lo')
    if (device === undefined) throw new Error(`network namespace ${netns} has no device lo`)
    setDevice(netlink, device.index, { isUp: true })
    return listAddresses(netlink)
      .filter(({ index }) => index === device.index)
      .map(({ address, prefixLength }) => `${address}/${prefixLength}`)
  })
}
