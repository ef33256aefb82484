import { type AddressConflict, type EgressNode, loopback } from '../../api/egress-node.ts'
import { type Address, parseAddress } from '../../net/address.ts'
import type { ClusterHosts } from '../tables.ts'
import type { World } from '../world.ts'

/*
 * A host outside the cluster may have an address of a pool already. Gateways find out by ARP and by neighbour discovery, and
 * report it. An answer of another node of the cluster is no conflict: a successor answers for the owner.
 */

export function resolveClusterHosts({
  self,
  egressNodes,
}: Pick<World, 'self' | 'egressNodes'>): ClusterHosts {
  const interfaces = egressNodes.flatMap(({ status }) => status?.interfaces ?? [])
  const isKnown = interfaces.every(
    ({ name, mac, problem }) => mac !== undefined || problem === 'NoEthernetHeader' || name === loopback,
  )
  return {
    macs: isKnown ? new Set(interfaces.flatMap(({ mac }) => mac ?? [])) : undefined,
    addressesOfOthers: new Set(
      egressNodes
        .filter(({ metadata }) => metadata.name !== self)
        .flatMap(({ status }) => status?.interfaces ?? [])
        .flatMap(({ addresses, added = [] }) => [...addresses, ...added])
        .flatMap((text) => parseAddress(text) ?? []),
    ),
  }
}

/** A conflict, and the node that found it. */
export interface FoundConflict extends Omit<AddressConflict, 'address'> {
  readonly address: Address
  readonly node: string
}

/** Of each address the first by the node's name. */
export function addressConflicts(egressNodes: readonly EgressNode[]): ReadonlyMap<Address, FoundConflict> {
  const found = egressNodes
    .toSorted((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))
    .flatMap(({ metadata, status }) =>
      (status?.conflicts ?? []).flatMap((conflict) => {
        const address = parseAddress(conflict.address)
        return address === undefined ? [] : [{ ...conflict, address, node: metadata.name }]
      }),
    )
  return new Map(found.toReversed().map((each) => [each.address, each]))
}
