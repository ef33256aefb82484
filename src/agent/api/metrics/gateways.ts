import type { Definitions, Value } from '../../../runtime/metrics/registry.ts'
import type { Reachability } from '../../failover/failover-views.ts'
import type { PathChanges, TakeoverCounts } from '../../failover/state.ts'
import type { GatewayPath } from '../local-api.ts'

/** What the agent knows about gateways. */
export interface GatewayView {
  readonly reachability: Reachability
  readonly paths: readonly Pick<GatewayPath, 'node' | 'path'>[]
  /** By the gateway's name. A gateway that has not answered its last two probes is missing. */
  readonly roundTripsNs: ReadonlyMap<string, bigint>
  readonly takeovers: TakeoverCounts
  readonly pathChanges: PathChanges
}

export function defineGateways({ counter, gauge }: Definitions, observe: () => GatewayView): void {
  gauge(
    'sallyport_gateway_reachable',
    '1 if the gateway is reachable from this node, 0 if it is not. Only gateways that this node probes are listed.',
    ['gateway'],
    () => {
      const { reachable, unreachable } = observe().reachability
      return [
        ...reachable.map((gateway): Value => [{ gateway }, 1]),
        ...unreachable.map((gateway): Value => [{ gateway }, 0]),
      ]
    },
  )
  gauge(
    'sallyport_gateway_path',
    'Always 1. The label path says how packets of this node get to the gateway: link or tunnel.',
    ['gateway', 'path'],
    () => observe().paths.map(({ node, path }) => [{ gateway: node, path }, 1]),
  )
  gauge(
    'sallyport_gateway_probe_round_trip_seconds',
    'How long the last probe of the gateway took through the tunnel, there and back.',
    ['gateway'],
    () => [...observe().roundTripsNs].map(([gateway, ns]) => [{ gateway }, Number(ns) / 1e9]),
  )
  counter(
    'sallyport_path_changes_total',
    'Number of times that packets for a gateway changed to the path: link or tunnel.',
    ['path'],
    () => Object.entries(observe().pathChanges).map(([path, count]) => [{ path }, count]),
  )
  counter(
    'sallyport_takeovers_total',
    'Number of times that this node took over an egress IP of another node.',
    [],
    () => [[{}, observe().takeovers.takenOver]],
  )
  counter(
    'sallyport_hand_backs_total',
    'Number of times that this node handed back an egress IP that it had taken over.',
    [],
    () => [[{}, observe().takeovers.handedBack]],
  )
}
