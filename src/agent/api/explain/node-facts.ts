import type { Datapath } from '../../../datapath/datapath.ts'
import type { DryRun } from '../../../datapath/dry-run/dry-run.ts'
import type { FlowKey } from '../../../datapath/tables/flow-tables.ts'
import type { NodeFacts, PortUse, Reachability } from '../../../decide/explain/expected-verdict.ts'
import type { Pool, Tables } from '../../../decide/tables.ts'
import type { Configuration } from '../../../install/configuration.ts'
import type { Route } from '../../../linux/routes.ts'
import type { Address } from '../../../net/address.ts'
import { blockBits, portsPerBlock } from '../../../net/ports.ts'
import { timing } from '../../failover/pulse/timing.ts'
import { keptPort } from '../../ports/fullness.ts'

/** What a pod's flow finds of one address. */
export interface AddressUse extends PortUse {
  readonly podFlows: number
}

/** How this node's probes see gateways, read as reachability_of in bpf/holder.h reads it. */
function probedReachability(datapath: Datapath, nowNs: bigint): (gateway: Address) => Reachability {
  const { liveness, probed_gateways } = datapath.tables
  const isProbing = (liveness.get(0)?.probing_until_ns ?? 0n) >= nowNs
  return (gateway) => {
    const probed = isProbing ? probed_gateways.get(gateway) : undefined
    if (probed === undefined) return 'reachable'
    if (probed.answered_ns + timing.silenceNs <= nowNs) return 'unreachable'
    return probed.flapping_until_ns > nowNs ? 'flapping' : 'reachable'
  }
}

/** Whether the gateway answers on a link that it shares with this node, read as find_link in bpf/link.h reads it. */
function answersOnLink({ tables }: Datapath, nowNs: bigint): (gateway: Address) => boolean {
  return (gateway) => (tables.links.get(gateway)?.answeredNs ?? 0n) + timing.silenceNs > nowNs
}

/** What this node's probes have found. */
export function probeFacts(
  datapath: Datapath,
  { usesLinks }: Pick<Configuration, 'usesLinks'>,
  nowNs: bigint,
): Pick<NodeFacts, 'reachability' | 'takesLink'> {
  return {
    reachability: probedReachability(datapath, nowNs),
    takesLink: usesLinks ? answersOnLink(datapath, nowNs) : () => false,
  }
}

/** FEW_FLOWS of bpf/types.h: with fewer flows of an address, a pod may have the ports that are kept for quiet pods. */
export const fewFlows = 16

/**
 * How full the pools are that a flow may use, and tells the dry run so. Ports are in use towards one destination, so no count of the
 * kernel has the answer: each port is looked up.
 */
export async function takeAddresses(
  dry: DryRun,
  tables: Tables,
  flow: FlowKey,
  addresses: readonly Address[],
  purpose: Pool['purpose'],
): Promise<ReadonlyMap<Address, AddressUse>> {
  const uses = new Map<Address, AddressUse>()
  for (const address of addresses) {
    const blocks =
      tables.pools.find((pool) => pool.address === address && pool.purpose === purpose)?.blocks ?? []
    const counted = purpose === 'egress' ? address : ('::' as Address)
    const taken = await dry.take(portsOf(blocks, address, flow), { pod: flow.source, egress_ip: counted })
    const isUsable = (port: number): boolean => taken.flows < fewFlows || (port & keptPort) !== keptPort
    uses.set(address, {
      owned: blocks.length * portsPerBlock * (taken.flows < fewFlows ? 1 : 1 - 1 / (keptPort + 1)),
      inUse: [...taken.ports].filter(isUsable).length,
      reclaimable: [...taken.reclaimable].filter(isUsable).length,
      podFlows: taken.flows,
    })
  }
  return uses
}

function* portsOf(blocks: readonly number[], source: Address, flow: FlowKey): Generator<FlowKey> {
  for (const block of blocks)
    for (let index = 0; index < portsPerBlock; index++)
      yield { ...flow, source, source_port: (block << blockBits) | index }
}

export interface Gathered {
  readonly configuration: Pick<
    Configuration,
    | 'isChained'
    | 'servicesByStack'
    | 'replacesKubeProxy'
    | 'forwardsByStack'
    | 'tunnelPort'
    | 'maxPortsPerPod'
    | 'usesLinks'
  >
  readonly sharesAddress: boolean
  readonly podAddresses: ReadonlySet<Address>
  readonly orders: ReadonlyMap<Address, { readonly order: readonly Address[] }>
  readonly probes: Pick<NodeFacts, 'reachability' | 'takesLink'>
  readonly uses: ReadonlyMap<Address, AddressUse>
  readonly route: (source: Address) => Route | undefined
  readonly lastEndpoint: NodeFacts['lastEndpoint']
}

export function nodeFacts(of: Gathered): NodeFacts {
  const { configuration, sharesAddress, podAddresses, orders, probes, uses, route, lastEndpoint } = of
  const { isChained, servicesByStack, replacesKubeProxy, forwardsByStack, tunnelPort, maxPortsPerPod } =
    configuration
  return {
    ...{ replacesKubeProxy, lastEndpoint },
    ...{ isChained, servicesByStack, forwardsByStack, tunnelPort, sharesAddress, podAddresses, ...probes },
    orderOf: (egressIp) => orders.get(egressIp)?.order ?? [],
    portsOf: (address) => uses.get(address) ?? { owned: 0, inUse: 0, reclaimable: 0 },
    isAtLimit: (egressIp) => maxPortsPerPod > 0 && (uses.get(egressIp)?.podFlows ?? 0) >= maxPortsPerPod,
    hasRoute: (source) => route(source) !== undefined,
  }
}
