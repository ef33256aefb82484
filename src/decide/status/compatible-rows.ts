import { compareAddresses, familyOf } from '../../net/address.ts'
import { comparePrefixes, familyOfPrefix, type Prefix } from '../../net/prefix.ts'
import { type Context, gatherContext, selectingPolicies, unreachableNodes } from '../context.ts'
import { ordersByAddress } from '../gateways/egress-ips.ts'
import { gatewaysForPod, tunnelAddressOf, zoneLabel } from '../gateways/gateways.ts'
import { type Answering, servingGateways } from '../gateways/new-flows.ts'
import { type Claim, claimsByPrefix } from '../policies/rules.ts'
import { type FindUnserved, findUnserved } from '../policies/unserved-networks.ts'
import type { World, WorldPod } from '../world.ts'

/** A row of `bpf egress list`, with the columns of the compatible command. */
interface CompatibleRow {
  readonly SourceIP: string
  readonly DestCIDR: string
  readonly EgressIP: string
  readonly GatewayIP: string
}

const unspecified = { 4: '0.0.0.0', 6: '::' } as const

/**
 * The rows that a node lists: all selected pods, those of other nodes included, so `world.pods` must hold the pods of all
 * nodes. A row has an egress IP only if this node is the gateway. IPv4 comes first.
 */
export function compatibleRows(world: World): readonly CompatibleRow[] {
  const context = gatherContext(world)
  const facts = { answering: answeringIn(context), unserved: findUnserved(world) }
  return world.pods
    .flatMap((pod) => [...claimsByPrefix(selectingPolicies(context, pod))].map((claim) => ({ pod, claim })))
    .flatMap(({ pod, claim: [prefix, claim] }) => {
      const sources = pod.ips.filter((address) => familyOf(address) === familyOfPrefix(prefix))
      const exits = listExits(context, facts, pod, prefix, claim)
      return sources.flatMap((source) => exits.map((exit) => ({ source, prefix, ...exit })))
    })
    .sort((a, b) => compareAddresses(a.source, b.source) || comparePrefixes(a.prefix, b.prefix))
    .map(({ source, prefix, egressIp, gateway }) => ({
      SourceIP: source,
      DestCIDR: prefix,
      EgressIP: egressIp,
      GatewayIP: gateway,
    }))
}

interface RowExit {
  readonly egressIp: string
  readonly gateway: string
}

interface Facts {
  readonly answering: Answering
  readonly unserved: FindUnserved
}

function answeringIn(context: Context): Answering {
  const names = new Map(context.nodes.map((node) => [tunnelAddressOf(node), node.name]))
  let orders: ReturnType<typeof ordersByAddress> | undefined
  return {
    orderOf: (address) => {
      orders ??= ordersByAddress(context)
      return (orders.get(address) ?? []).map((each) => names.get(each) ?? each)
    },
    unreachable: unreachableNodes(context.world),
  }
}

/** The last two columns, once for each gateway that the pod's new flows use. */
function listExits(
  context: Context,
  { answering, unserved }: Facts,
  pod: WorldPod,
  prefix: Prefix,
  { policy, isExcluded }: Claim,
): readonly RowExit[] {
  const none = unspecified[familyOfPrefix(prefix)]
  if (isExcluded) return [{ egressIp: none, gateway: 'Excluded CIDR' }]
  if (unserved(prefix) !== undefined) return [{ egressIp: none, gateway: 'Not Served' }]
  const zone = context.nodeLabels.get(pod.nodeName)?.[zoneLabel]
  const isRefused =
    context.world.settings.networkPolicies === 'refuse' && context.restrictions(pod).length > 0
  const isHonoured = policy.problems.length === 0 && !isRefused
  const exits = isHonoured ? (context.exits.get(policy.id) ?? []) : []
  const family = familyOfPrefix(prefix)
  const open = gatewaysForPod(policy, exits, pod, zone, context.ineligible)
  const serving = servingGateways(policy, open, family, answering)
  const gateways = serving.length > 0 ? serving : open.active
  if (gateways.length === 0) return [{ egressIp: none, gateway: 'Not Found' }]
  return gateways.map(({ node, egressIps }) => ({
    egressIp: (node.name === context.self.name && egressIps[family]) || none,
    gateway: tunnelAddressOf(node),
  }))
}
