import type { EgressAddress } from '../../api/egress-address.ts'
import type { EgressNode } from '../../api/egress-node.ts'
import { type Address, parseAddress } from '../../net/address.ts'

/*
 * Egress IPs that no policy uses any more, while nodes keep them for connections. Each node reports its own part, and the
 * EgressAddress shows the sum.
 */

export type LingeringSummary = NonNullable<NonNullable<EgressAddress['status']>['lingering']>

export function lingeringAddresses(
  egressNodes: readonly EgressNode[],
): ReadonlyMap<Address, LingeringSummary> {
  const found = new Map<Address, { connections: number; nodes: string[] }>()
  for (const { metadata, status } of egressNodes)
    for (const { address: text, connections } of status?.lingering ?? []) {
      const address = parseAddress(text)
      if (address === undefined) continue
      const sum = found.get(address) ?? { connections: 0, nodes: [] }
      found.set(address, sum)
      sum.connections += connections
      if (connections > 0) sum.nodes.push(metadata.name)
    }
  for (const { nodes } of found.values()) nodes.sort()
  return found
}

/** A released address stays released until no node keeps it. A later policy may use it as if nothing had been. */
export function staysReleased(
  object: EgressAddress | undefined,
  lingering: ReadonlyMap<Address, unknown>,
): boolean {
  const address = object && parseAddress(object.spec.address)
  return object?.spec.isReleased === true && address !== undefined && lingering.has(address)
}

/** Which addresses a person has released: their connections end. */
export function releasedAddresses(egressAddresses: readonly EgressAddress[]): readonly Address[] {
  return egressAddresses.flatMap(({ spec }) => (spec.isReleased ? (parseAddress(spec.address) ?? []) : []))
}
