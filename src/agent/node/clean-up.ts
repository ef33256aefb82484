import { existsSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { removeDatapath } from '../../datapath/datapath.ts'
import { deleteDevice, findDevice, listDevices } from '../../linux/devices.ts'
import { deleteProxiedNeighbour, listProxiedNeighbours } from '../../linux/neighbours.ts'
import type { Netlink } from '../../linux/netlink.ts'
import { removeNotTracked } from '../../linux/notrack.ts'
import { releasePorts } from '../../linux/sysctl.ts'
import { HeldAddresses, heldAddressesFile, syncHeldAddresses } from '../failover/held-addresses.ts'
import { removePlugin } from '../plugin/cni-install.ts'
import { removeForwardingDevice } from './forwarding-device.ts'
import { isPodDevice, overlayName, reservedPorts } from './node-network.ts'

interface NodePlaces {
  /** Where the container runtime looks for plugins, if not in the usual places. */
  readonly pluginFolders?: Parameters<typeof removePlugin>[0]
  readonly pinDirectory: string
  readonly stateDirectory: string
}

/**
 * Takes everything of ours off a node that no agent runs on any more, and answers with what was there. What has no part
 * left is passed over: it may be called again after a crash. Forwarding stays switched on: others may have come to need it.
 *
 * Pods first lose the devices that we gave them, so that none is left behind without the programs that watch over it.
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
  note('nftables tables', removeNotTracked() ? 1 : 0)
  note('reserved port ranges', releasePorts(reservedPorts.first, reservedPorts.last) ? 1 : 0)
  note('agent files', emptyFolder(stateDirectory))
  return done
}

/** The folder itself may be a mount. */
function emptyFolder(folder: string): number {
  if (!existsSync(folder)) return 0
  const names = readdirSync(folder)
  for (const name of names) rmSync(join(folder, name), { recursive: true })
  return names.length
}
