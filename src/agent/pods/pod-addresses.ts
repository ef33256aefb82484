import type { Address } from '../../net/address.ts'
import { addressAt, familyOfPrefix, type Prefix, prefixLength } from '../../net/prefix.ts'

/**
 * The first address of the prefix, which its pods use as their router. No device has it. Each pod has a permanent neighbour
 * entry for it, and the datapath handles the packets.
 */
export function routerAddress(prefix: Prefix): Address {
  return addressAt(prefix, 1)
}

/** How many pods fit into a prefix: all addresses but the network's, the router's and the last (broadcast in IPv4). */
function usableCount(prefix: Prefix): number {
  const bits = (familyOfPrefix(prefix) === 4 ? 32 : 128) - prefixLength(prefix)
  return bits <= 1 ? 0 : Math.min(2 ** Math.min(bits, 16), 65536) - 3
}

/**
 * Chooses an address for a new pod: the first free one after `last`. So an address that was just released is assigned again
 * as late as possible. Undefined if no address is free.
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
