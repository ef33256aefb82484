import type { NodeInterface } from '../../api/egress-node.ts'
import { type Address, parseAddress } from '../../net/address.ts'
import type { Context } from '../context.ts'
import type { Orders } from './dead-gateways.ts'
import { isOnLinkOf } from './egress-ips.ts'
import { tunnelAddressOf } from './gateways.ts'

type Knowledge = Pick<Context, 'world' | 'nodes' | 'policies' | 'exits' | 'interfaces'>

/**
 * Egress IPs that a gateway's interface had until it lost them or vanished, with the gateways that answer for them instead. New
 * flows do not get such an address, but established flows have it. Only a policy that still selects the gateway by its
 * interface makes others answer. If no policy selects it any more, an administrator probably removed the address on purpose.
 *
 * An address of a pool is not one of them. The gateway that had it last may be without it for a moment, for example because its
 * Node object was deleted, and adds it again.
 */
export function orphanedAddresses(context: Knowledge, egressIps: ReadonlyMap<Address, unknown>): Orders {
  const { world, nodes } = context
  const isOwn = new Set(nodes.flatMap(({ internalIPs }) => internalIPs))
  const configured = listed(world.egressNodes, ({ addresses }) => addresses)
  return new Map(
    [...(world.lingeringOrders ?? [])].flatMap(([address, order]) => {
      if (egressIps.has(address) || isOwn.has(address) || configured.has(address)) return []
      if (world.lingeringFromPools?.has(address)) return []
      const successors = successorsOf(context, address, order)
      return successors.length === 0 ? [] : [[address, successors] as const]
    }),
  )
}

/** The gateways of the order that share an exit and are on the address's link, without the gateway that lost the address. */
function successorsOf(context: Knowledge, address: Address, order: readonly Address[]): readonly Address[] {
  const { nodes, world, policies, exits } = context
  const [first] = order
  const firstNode = nodes.find((node) => tunnelAddressOf(node) === first)
  const reports = world.egressNodes.filter(({ metadata }) => metadata.name === firstNode?.name)
  if (reports[0]?.status?.interfaces === undefined) return []
  /* An agent that has restarted knows only the order without the gateway that lost the address. */
  const isSuccessor = listed(reports, ({ added = [] }) => added).has(address)
  const others = isSuccessor ? order : order.slice(1)
  const alike = policies
    .flatMap(({ id, exits: choices }) =>
      choices.map(({ address: { by } }, which) => (isByInterface(by) ? (exits.get(id)?.[which] ?? []) : [])),
    )
    .filter((gateways) => gateways.some(({ node }) => node === firstNode))
  const able = alike
    .flat()
    .filter(({ node, outage }) => outage === undefined && isOnLinkOf(context, node, address))
  return others.filter((each) => able.some(({ node }) => tunnelAddressOf(node) === each))
}

const isByInterface = (by: string): boolean => by === 'interface' || by === 'defaultRoute'

function listed(
  egressNodes: Knowledge['world']['egressNodes'],
  of: (each: NodeInterface) => readonly string[],
): ReadonlySet<Address> {
  return new Set(
    egressNodes
      .flatMap(({ status }) => status?.interfaces ?? [])
      .flatMap(of)
      .flatMap((text) => parseAddress(text) ?? []),
  )
}
