import type { Address } from '../net/address.ts'
import { type LinkClaims, openLinkClaims } from './address-claims.ts'
import { announce } from './announce.ts'
import { Netlink } from './netlink.ts'
import { withNetns } from './netns.ts'
import { readSysctl, reservePorts, writeSysctl } from './sysctl.ts'

/** The parts of a machine's kernel that netlink in its own network namespace does not reach. The simulation has its own implementation. */
export interface Machine {
  readSysctl(name: string): string
  /** Returns false if the value was set already. `reason` becomes part of the error. */
  writeSysctl(name: string, value: string, reason: string): boolean
  /** Keeps the kernel from choosing these ports for the machine's own sockets. Returns false if they were reserved already. */
  reservePorts(first: number, last: number, reason: string): boolean
  /** Announces once, to all hosts on a device's link, that an address is at the device's MAC now. */
  announce(device: { readonly index: number; readonly mac: string }, address: Address): void
  /** Throws if the device is gone. The caller disposes of it. */
  openLinkClaims(device: { readonly index: number; readonly mac: string }): LinkClaims
  /** Runs `work`, which must be synchronous, with a netlink socket of another network namespace. */
  inNamespace<T>(netns: string, work: (netlink: Netlink) => T): T
}

export const linuxMachine: Machine = {
  readSysctl,
  writeSysctl,
  reservePorts,
  announce,
  openLinkClaims,
  inNamespace: (netns, work) =>
    withNetns(netns, () => {
      using netlink = new Netlink()
      return work(netlink)
    }),
}
