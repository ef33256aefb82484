import type { Address } from '../net/address.ts'
import { announce } from './announce.ts'
import { Netlink } from './netlink.ts'
import { withNetns } from './netns.ts'
import { readSysctl, reservePorts, writeSysctl } from './sysctl.ts'

/** What of a machine's kernel is not reached by netlink in its own network namespace. A simulated node has another one. */
export interface Machine {
  readSysctl(name: string): string
  /** False if it had the value already. `reason` becomes part of the error. */
  writeSysctl(name: string, value: string, reason: string): boolean
  /** Keeps the machine's own sockets from taking these ports unasked. False if they were kept already. */
  reservePorts(first: number, last: number, reason: string): boolean
  /** Tells everyone on a device's link, once, that an address is at its MAC now. */
  announce(device: { readonly index: number; readonly mac: string }, address: Address): void
  /** Runs `work`, which must be synchronous, with a netlink socket of another network namespace. */
  inNamespace<T>(netns: string, work: (netlink: Netlink) => T): T
}

export const linuxMachine: Machine = {
  readSysctl,
  writeSysctl,
  reservePorts,
  announce,
  inNamespace: (netns, work) =>
    withNetns(netns, () => {
      using netlink = new Netlink()
      return work(netlink)
    }),
}
