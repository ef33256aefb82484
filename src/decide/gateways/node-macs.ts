import type { EgressNode } from '../../api/egress-node.ts'
import { type Address, parseAddress } from '../../net/address.ts'
import type { World } from '../world.ts'
import { tunnelAddressOf } from './gateways.ts'

/** The MACs of the other nodes, as their agents report them. */
export interface NodeMacs {
  /** By tunnel address: the MAC of the device that has the address, if the node takes packets by it without a tunnel. */
  readonly ofTunnel: ReadonlyMap<Address, string>
  /** By MAC: the tunnel address of the node that has it. */
  readonly owners: ReadonlyMap<string, Address>
}

/** A MAC that two nodes report says nothing about who sent a frame, so it is left out. */
export function resolveNodeMacs({
  self,
  nodes,
  egressNodes,
}: Pick<World, 'self' | 'nodes' | 'egressNodes'>): NodeMacs {
  const byName = new Map(egressNodes.map((egressNode) => [egressNode.metadata.name, egressNode]))
  const own = new Set(interfacesOf(byName.get(self)).flatMap(({ mac }) => mac ?? []))
  const others = nodes.flatMap((node) => {
    if (node.name === self || node.internalIPs.length === 0) return []
    const interfaces = interfacesOf(byName.get(node.name)).filter(({ problem }) => problem === undefined)
    return [{ tunnelAddress: tunnelAddressOf(node), interfaces }]
  })
  const reported = others.flatMap(({ tunnelAddress, interfaces }) =>
    [...new Set(interfaces.flatMap(({ mac }) => mac ?? []))].map((mac) => [mac, tunnelAddress] as const),
  )
  const counts = new Map<string, number>()
  for (const [mac] of reported) counts.set(mac, (counts.get(mac) ?? 0) + 1)
  const isSole = (mac: string): boolean => counts.get(mac) === 1 && !own.has(mac)
  return {
    ofTunnel: new Map(
      others.flatMap(({ tunnelAddress, interfaces }) => {
        const mac = interfaces.find(
          ({ addresses, receivesByLink }) =>
            receivesByLink && addresses.some((each) => parseAddress(each) === tunnelAddress),
        )?.mac
        return mac !== undefined && isSole(mac) ? [[tunnelAddress, mac] as const] : []
      }),
    ),
    owners: new Map(reported.filter(([mac]) => isSole(mac))),
  }
}

function interfacesOf(egressNode: EgressNode | undefined) {
  return egressNode?.status?.interfaces ?? []
}
