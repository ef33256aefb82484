import { existsSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { removeDatapath } from '../../datapath/remove.ts'
import { deleteDevice, findDevice, listDevices } from '../../linux/devices.ts'
import { deleteProxiedNeighbour, listProxiedNeighbours } from '../../linux/neighbours.ts'
import type { Netlink } from '../../linux/netlink.ts'
import { removeNotTracked } from '../../linux/notrack.ts'
import { releasePorts } from '../../linux/sysctl.ts'
import { HeldAddresses, heldAddressesFile, syncHeldAddresses } from '../failover/held-addresses.ts'
import { removePlugin } from '../plugin/cni-install.ts'
import { removeForwardingDevice } from './forwarding-device.ts'
import { isPodDevice, overlayName, reservedPorts } from './node-network.ts'
import { removeServiceWire } from './service-device.ts'

interface NodePlaces {
  /** The folders of the container runtime, if they are not the default ones. */
  readonly pluginFolders?: Parameters<typeof removePlugin>[0]
  readonly pinDirectory: string
  readonly stateDirectory: string
}

/**
 * Removes everything of ours from a node without an agent, and returns how much it found. It skips what is already removed,
 * so it can run again after a crash. Forwarding stays enabled, because other products may need it by now. It deletes the
 * devices of our pods first, so that no pod keeps a device without the programs.
 */
export function cleanUp(
  netlink: Netlink,
  { pluginFolders, pinDirectory, stateDirectory }: NodePlaces,
): readonly string[] {
  const done: string[] = []
  const note = (what: string, count: number): void => void (count > 0 && done.push(`${what}: ${count}`))
  note('CNI plugin files', removePlugin(pluginFolders))
  const podDevices = listDevices(netlink).filter(isPodDevice)
  for (const { index } of podDevices) deleteDevice(netlink, index)
  note('pod devices', podDevices.length)
  const held = new HeldAddresses(heldAddressesFile(stateDirectory))
  note('egress IPs', held.devices.size)
  syncHeldAddresses(netlink, new Map(), held)
  const proxied = listProxiedNeighbours(netlink)
  for (const each of proxied) deleteProxiedNeighbour(netlink, each)
  note('proxied neighbours', proxied.length)
  note('attached programs', existsSync(pinDirectory) ? removeDatapath(pinDirectory) : 0)
  const overlay = findDevice(netlink, overlayName)
  if (overlay?.kind === 'vxlan') deleteDevice(netlink, overlay.index)
  note('tunnel devices', overlay?.kind === 'vxlan' ? 1 : 0)
  note('forwarding devices', removeForwardingDevice(netlink) ? 1 : 0)
  note('devices for Services', removeServiceWire(netlink) ? 1 : 0)
  note('nftables tables', removeNotTracked() ? 1 : 0)
  const reserved = Object.values(reservedPorts).filter(({ first, last }) => releasePorts(first, last))
  note('reserved port ranges', reserved.length)
  note('agent files', emptyFolder(stateDirectory))
  return done
}

/** Keeps the folder itself, because it may be a mount. */
function emptyFolder(folder: string): number {
  if (!existsSync(folder)) return 0
  const names = readdirSync(folder)
  for (const name of names) rmSync(join(folder, name), { recursive: true })
  return names.length
}
