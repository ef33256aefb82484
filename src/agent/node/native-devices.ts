import { hasIPsec, type NodeRules } from '../../decide/status/stack-rules.ts'
import type { WorldNode } from '../../decide/world.ts'
import type { Device } from '../../linux/devices.ts'
import { type Address, familyOf } from '../../net/address.ts'
import { forwardingName } from './forwarding-device.ts'
import { type NodeDevice, overlayName } from './node-network.ts'

/** `eth+` matches every name that begins with eth. Any other pattern is a name or an alternative name. */
function matchesPattern(device: Pick<Device, 'name' | 'alternativeNames'>, pattern: string): boolean {
  const names = [device.name, ...device.alternativeNames]
  if (!pattern.endsWith('+')) return names.includes(pattern)
  return names.some((name) => name.startsWith(pattern.slice(0, -1)))
}

/**
 * The devices through which the world reaches this node. The configuration may name them. Otherwise they are the device with
 * the tunnel's address and those of default routes. Devices with an egress IP always count, because replies arrive there.
 */
export function selectNativeDevices(
  devices: readonly NodeDevice[],
  patterns: readonly string[],
  tunnelAddress: Address,
  isEgressIp: (address: Address) => boolean,
): NodeDevice[] {
  const isWanted = (device: NodeDevice): boolean =>
    patterns.length > 0
      ? patterns.some((pattern) => matchesPattern(device, pattern))
      : Object.keys(device.defaultMetrics).length > 0 || device.addresses.includes(tunnelAddress)
  return devices.filter(
    (device) =>
      !device.isLoopback &&
      device.name !== overlayName &&
      !device.name.startsWith(forwardingName) &&
      (isWanted(device) || device.addresses.some(isEgressIp)),
  )
}

/** The device by which this node takes packets without a tunnel: a native device with the tunnel's address. */
export function selectLinkDevice(
  devices: readonly NodeDevice[],
  settings: { readonly usesLinks: boolean; readonly devices: readonly string[] },
  node: Pick<WorldNode, 'internalIPs'> | undefined,
  rules: NodeRules | undefined,
): NodeDevice | undefined {
  const [tunnelAddress] = node?.internalIPs ?? []
  if (!settings.usesLinks || tunnelAddress === undefined || hasIPsec(rules)) return undefined
  const native = selectNativeDevices(devices, settings.devices, tunnelAddress, () => false)
  return native.find(({ addresses }) => addresses.includes(tunnelAddress))
}

/**
 * The device through which packets from an address must leave this node. It is the device that has the address, if it has a
 * default route of its own and the kernel would choose another device. A device without a default route, such as a dummy
 * device, only holds the address. Then the kernel's routes choose the device.
 */
export function boundDevices(devices: readonly NodeDevice[]): ReadonlyMap<Address, number> {
  const lowest = { 4: lowestMetric(devices, 4), 6: lowestMetric(devices, 6) }
  return new Map(
    devices.flatMap(({ index, addresses, defaultMetrics }) =>
      addresses.flatMap((address) => {
        const family = familyOf(address)
        const metric = defaultMetrics[family]
        const isBound = metric !== undefined && lowest[family]?.index !== index
        return isBound ? [[address, index] as const] : []
      }),
    ),
  )
}

function lowestMetric(devices: readonly NodeDevice[], family: 4 | 6): NodeDevice | undefined {
  return devices
    .filter(({ defaultMetrics }) => defaultMetrics[family] !== undefined)
    .toSorted((a, b) => (a.defaultMetrics[family] ?? 0) - (b.defaultMetrics[family] ?? 0))[0]
}
