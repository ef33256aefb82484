import type { LinkEntry } from '../../datapath/tables/link-tables.ts'
import type { Tables } from '../../decide/tables.ts'
import type { Address } from '../../net/address.ts'
import { timing } from '../failover/pulse/timing.ts'
import type { GatewayPath } from './local-api.ts'

/** How packets of this node get to each gateway that it probes, by the gateway's name. */
export function describePaths(
  gateways: Iterable<Address>,
  nodes: Tables['nodes'],
  linkTo: (gateway: Address) => LinkEntry | undefined,
  nowNs: bigint,
): readonly GatewayPath[] {
  return [...gateways]
    .map((gateway): GatewayPath => {
      const node = nodes.get(gateway)?.name ?? gateway
      const link = linkTo(gateway)
      if (link === undefined) return { node, path: 'tunnel', reason: 'it is not on a link of this node' }
      if (link.answeredNs + timing.silenceNs > nowNs) return { node, path: 'link' }
      return { node, path: 'tunnel', reason: 'probes on the link are not answered' }
    })
    .toSorted((a, b) => (a.node < b.node ? -1 : 1))
}
