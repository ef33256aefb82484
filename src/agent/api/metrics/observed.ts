import type { Datapath } from '../../../datapath/datapath.ts'
import { reachabilityOf } from '../../failover/failover-views.ts'
import type { NatLogCounts } from '../../nat-log/nat-log.ts'
import type { Snapshot } from '../../snapshot.ts'
import type { GatewayPath } from '../local-api.ts'
import type { Observed } from './metrics.ts'

interface Known {
  /** Undefined: all by the tunnel. */
  readonly paths: readonly GatewayPath[] | undefined
  readonly problems: number
  readonly natLog: NatLogCounts | undefined
}

/** The values that metrics read from a snapshot, and from the table of gateways. */
export function observedIn(
  snapshot: Snapshot,
  datapath: Datapath,
  { paths, problems, natLog }: Known,
): Observed {
  const { isReady, attachments, decided, failover, nodes, ports, watches, probedAtNs } = snapshot
  const nodesByAddress = decided?.tables.nodes
  const named = [...failover.gateways.keys()].map(
    (gateway) => [nodesByAddress?.get(gateway)?.name ?? gateway, gateway] as const,
  )
  return {
    isReady,
    problems,
    pods: attachments.length,
    tables: decided?.tables,
    reachability: reachabilityOf(failover, nodes),
    paths: paths ?? named.map(([node]) => ({ node, path: 'tunnel' })),
    roundTripsNs: new Map(
      named.flatMap(([name, gateway]) => {
        const { answered_ns = 0n } = datapath.tables.probed_gateways.get(gateway) ?? {}
        const roundTrip = roundTripNs(answered_ns, probedAtNs)
        return roundTrip === undefined ? [] : [[name, roundTrip] as const]
      }),
    ),
    held: failover.held.keys(),
    leasedBlocks: new Map([...ports.since].map(([address, blocks]) => [address, blocks.size])),
    demandedBlocks: new Map([...ports.requests].map(([address, { blocks }]) => [address, blocks])),
    /* The sweep also counts flows that no policy selects, which have the node's own address. */
    crowded: new Map([...ports.crowded].filter(([address]) => decided?.tables.egressIps.has(address))),
    takeovers: failover.takeovers,
    pathChanges: failover.pathChanges,
    watches,
    natLog,
  }
}

/** From the latest probes that were sent before the answer. Undefined if the last two were not answered. */
export function roundTripNs(answeredNs: bigint, probedAtNs: readonly bigint[]): bigint | undefined {
  const sentNs = probedAtNs.find((sent) => sent > 0n && sent <= answeredNs)
  return sentNs === undefined ? undefined : answeredNs - sentNs
}
