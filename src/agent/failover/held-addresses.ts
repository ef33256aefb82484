import { mkdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { EgressIp, Tables } from '../../decide/tables.ts'
import { deleteAddress, listAddresses, putAddress } from '../../linux/device-addresses.ts'
import { type Device, listDevices } from '../../linux/devices.ts'
import { isKernelError } from '../../linux/libc.ts'
import type { Netlink } from '../../linux/netlink.ts'
import { type Address, parseAddress } from '../../net/address.ts'
import { hostLength } from '../../net/prefix.ts'
import { replaceFile } from '../../runtime/replace-file.ts'
import type { NodeDevice } from '../node/node-network.ts'
import { isUnusable } from './address-claims.ts'
import type { FailoverState } from './state.ts'

export function heldAddressesFile(stateDirectory: string): string {
  return join(stateDirectory, 'held-addresses.json')
}

/**
 * The addresses that this agent has added to devices of its node, each with the device's name. The agent removes only these:
 * an administrator or another program configured the others. The kernel can mark who added an address only since 5.18, so a
 * file lists them. A reboot removes the file and the addresses.
 */
export class HeldAddresses {
  readonly #path: string
  readonly #devices: Map<Address, string>

  constructor(path: string) {
    this.#path = path
    this.#devices = new Map(readMarks(path))
  }

  /** By address, the device's name. */
  get devices(): ReadonlyMap<Address, string> {
    return new Map(this.#devices)
  }

  /**
   * Call it before the address is added. If the agent is killed in between, its successor still knows that the address is
   * ours.
   */
  mark(address: Address, device: string): void {
    this.#devices.set(address, device)
    this.#write()
  }

  /** Call it after the address is removed. */
  unmark(address: Address): void {
    this.#devices.delete(address)
    this.#write()
  }

  #write(): void {
    mkdirSync(dirname(this.#path), { recursive: true, mode: 0o700 })
    replaceFile(this.#path, JSON.stringify(Object.fromEntries(this.#devices)), 0o600)
  }
}

function readMarks(path: string): readonly (readonly [Address, string])[] {
  try {
    const marks = Object.entries(JSON.parse(readFileSync(path, 'utf8')) as Record<string, string>)
    return marks.flatMap(([text, device]) => {
      const address = parseAddress(text)
      return address === undefined ? [] : [[address, device] as const]
    })
  } catch {
    return [] /* no file yet, or the machine crashed and its addresses are gone as well */
  }
}

/** Where addresses should be. */
interface HeldPlan {
  /** By address, the device's name. */
  readonly wanted: ReadonlyMap<Address, string>
  readonly problems: readonly string[]
}

/**
 * The addresses from pools that this node should have as its own. An address that it had stays for its flows as long as the
 * tables keep it, unless the operator has given it to another node meanwhile. That holds also for an address that it gave up
 * because it was no member or was isolated: the other gateways hand it back.
 */
export function planHeldAddresses(
  poolAddresses: Tables['poolAddresses'],
  self: { readonly name: string; readonly tunnelAddress: Address },
  devices: readonly NodeDevice[],
  lingering: ReadonlyMap<Address, Pick<EgressIp, 'order'>>,
  { held, poolPlaces, claims }: Pick<FailoverState, 'held' | 'poolPlaces' | 'claims'>,
): HeldPlan {
  const wanted = new Map<Address, string>()
  const problems: string[] = []
  for (const [address, device] of new Map([...poolPlaces, ...held])) {
    const isOwn = lingering.get(address)?.order[0] === self.tunnelAddress
    if (isOwn && !poolAddresses.has(address)) wanted.set(address, device)
  }
  for (const [address, { node, interface: name }] of poolAddresses) {
    if (node !== self.name || isUnusable(claims.get(address))) continue
    const device = devices.find((each) => (name === undefined ? each.isDefaultRoute : isNamed(each, name)))
    if (device !== undefined) wanted.set(address, device.name)
    else
      problems.push(
        `Egress IP ${address} cannot be added to this node: ${name === undefined ? 'no interface has a default route' : `it has no interface ${name}`}.`,
      )
  }
  return { wanted, problems }
}

function isNamed(
  { name, alternativeNames }: Pick<Device, 'name' | 'alternativeNames'>,
  text: string,
): boolean {
  return name === text || alternativeNames.includes(text)
}

interface HeldChange {
  /** Addresses that were missing and are now added. */
  readonly added: readonly Address[]
  /** What failed, one sentence each. */
  readonly problems: readonly string[]
}

/**
 * Adds addresses to devices and removes those that are no longer wanted. Pass all wanted addresses. It removes only what the
 * agent added: an address that an administrator or another program configured on the node stays as it is, wanted or not. The
 * caller announces what is added, because neighbours may know another holder.
 */
export function syncHeldAddresses(
  netlink: Netlink,
  wanted: ReadonlyMap<Address, string>,
  held: HeldAddresses,
): HeldChange {
  const devices = listDevices(netlink)
  const indexOf = (name: string): number | undefined => devices.find((device) => isNamed(device, name))?.index
  const added: Address[] = []
  const problems: string[] = []
  for (const [address, device] of held.devices) {
    if (device === wanted.get(address)) continue
    const problem = problemOf(`removed from device ${device}`, address, () => {
      takeAway(netlink, address, indexOf(device))
      held.unmark(address)
    })
    problems.push(...problem)
  }
  const present = new Set(listAddresses(netlink).map(({ address }) => address))
  for (const [address, device] of wanted) {
    if (present.has(address)) continue
    const index = indexOf(device)
    if (index === undefined) {
      problems.push(`Egress IP ${address} cannot be added to this node: it has no interface ${device}.`)
      continue
    }
    held.mark(address, device)
    const problem = problemOf(`added to device ${device}`, address, () =>
      putAddress(netlink, { index, ...wholeAddress(address), hasPrefixRoute: false, isDeprecated: true }),
    )
    if (problem.length === 0) added.push(address)
    else held.unmark(address)
    problems.push(...problem)
  }
  return { added, problems }
}

/** If the kernel refuses one address, for example on a device without IPv6, the others are still added. */
function problemOf(what: string, address: Address, act: () => void): readonly string[] {
  try {
    act()
    return []
  } catch (error) {
    return [`Egress IP ${address} could not be ${what}: ${error instanceof Error ? error.message : error}`]
  }
}

/** The address with a full prefix length. It adds no route for a link, and no other address becomes secondary to it. */
function wholeAddress(address: Address) {
  return { address, prefixLength: hostLength(address) }
}

function takeAway(netlink: Netlink, address: Address, index: number | undefined): void {
  if (index === undefined) return
  try {
    deleteAddress(netlink, { index, ...wholeAddress(address) })
  } catch (error) {
    if (!isKernelError(error, 'EADDRNOTAVAIL')) throw error
  }
}
