import { isKernelError } from '../../linux/libc.ts'
import type { Machine } from '../../linux/machine.ts'
import {
  deleteProxiedNeighbour,
  listProxiedNeighbours,
  type ProxiedNeighbour,
  putProxiedNeighbour,
} from '../../linux/neighbours.ts'
import type { Netlink } from '../../linux/netlink.ts'
import { type Address, familyOf } from '../../net/address.ts'
import type { NodeDevice } from '../node/node-network.ts'
import { linkOf } from './links.ts'

/** An egress IP of this node, and the device that answers neighbour requests for it on its link. */
export interface ProxiedAddress extends ProxiedNeighbour {
  readonly device: string
}

/**
 * With IPv4 a node answers on every device for all its addresses. With IPv6 a device answers only for its own addresses. If
 * an egress IP is on a device that only holds addresses, the link's device needs a proxy entry for it.
 */
export function planProxiedAddresses(
  own: readonly Address[],
  devices: readonly NodeDevice[],
): readonly ProxiedAddress[] {
  return own.flatMap((address) => {
    if (familyOf(address) !== 6 || !devices.some(({ addresses }) => addresses.includes(address))) return []
    const link = linkOf(address, devices)
    if (link === undefined || link.addresses.includes(address)) return []
    return [{ index: link.index, device: link.name, address }]
  })
}

/** Adds the planned entries and removes our other entries. Returns what failed, one sentence each. */
export function syncProxiedAddresses(
  { netlink, machine }: { readonly netlink: Netlink; readonly machine: Machine },
  wanted: readonly ProxiedAddress[],
): readonly string[] {
  const idOf = ({ index, address }: ProxiedNeighbour): string => `${index} ${address}`
  const present = new Map(listProxiedNeighbours(netlink).map((each) => [idOf(each), each]))
  const problems: string[] = []
  for (const each of wanted) {
    if (present.delete(idOf(each))) continue
    try {
      answerAtOnce(machine, each.device)
      putProxiedNeighbour(netlink, each)
    } catch (error) {
      problems.push(
        `Device ${each.device} cannot answer for egress IP ${each.address}: ${error instanceof Error ? error.message : error}`,
      )
    }
  }
  for (const each of present.values())
    try {
      deleteProxiedNeighbour(netlink, each)
    } catch (error) {
      if (!isKernelError(error, 'ENOENT')) throw error
    }
  return problems
}

/** By default, the kernel waits up to 0.8 s for another host to answer. No other host answers for these addresses. */
function answerAtOnce(machine: Machine, device: string): void {
  const reason = `${device} answers for egress IPs that another device has`
  machine.writeSysctl(`net/ipv6/conf/${device}/proxy_ndp`, '1', reason)
  machine.writeSysctl(`net/ipv6/neigh/${device}/proxy_delay`, '0', reason)
}
