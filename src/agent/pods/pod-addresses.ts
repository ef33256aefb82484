import type { Address } from '../../net/address.ts'
import { addressAt, familyOfPrefix, type Prefix, prefixLength } from '../../net/prefix.ts'

/**
 * The address that pods of this prefix take for their router: its first. No device has it; a permanent neighbour entry
 * in each pod answers for it, and what is sent there is the datapath's.
 */
export function routerAddress(prefix: Prefix): Address {
  return addressAt(prefix, 1)
}

/** How many addresses of a prefix pods can have: all but its own, the router's, and the last (IPv4's broadcast). */
function usableCount(prefix: Prefix): number {
  const bits = (familyOfPrefix(prefix) === 4 ? 32 : 128) - prefixLength(prefix)
  return bits <= 1 ? 0 : Math.min(2 ** Math.min(bits, 16), 65536) - 3
}

/**
 * A free address for a new pod: the next after `last` that is not taken, so that an address that a pod just left is the
 * last to be given again. Undefined when the prefix is used up.
 */
export function chooseAddress(
  prefix: Prefix,
  isTaken: (address: Address) => boolean,
  last: number,
): { readonly address: Address; readonly index: number } | undefined {
  const usable = usableCount(prefix)
  for (let step = 1; step <= usable; step++) {
    const index = ((last + step - 1) % usable) + 1
    const address = addressAt(prefix, index + 1)
    if (!isTaken(address)) return { address, index }
  }
  return undefined
}
