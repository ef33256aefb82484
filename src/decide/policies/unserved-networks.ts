import type { EgressNode } from '../../api/egress-node.ts'
import { type Address, parseAddress } from '../../net/address.ts'
import {
  contains,
  covers,
  familyOfPrefix,
  hostPrefix,
  lastAddress,
  type Prefix,
  parsePrefix,
  prefixLength,
} from '../../net/prefix.ts'
import type { World } from '../world.ts'
import type { Policy } from './policies.ts'

/** A network to which no policy applies, and what happens to packets to it. */
interface Unserved {
  /** Comes after "is inside". */
  readonly what: string
  /** A sentence without its period. */
  readonly effect: string
  readonly remedy: string
}

/** Why no policy applies to any address of a prefix. Undefined if one may. */
export type FindUnserved = (destination: Prefix) => Unserved | undefined

type Network = readonly [Prefix, Unserved]
type Given = Pick<World, 'settings' | 'nodes' | 'egressNodes'>

const remove = 'Remove the destination'

/**
 * Finds the network to which no policy applies and that contains a destination wholly. A destination that contains such a
 * network, for example 0.0.0.0/0, is not a mistake.
 */
export function findUnserved(world: Given): FindUnserved {
  const networks = [...ofSettings(world), ...wellKnown(world), ...ofPods(world)]
  const shared = sharedLinks(world)
  const hosts = new Map([...broadcasts(shared), ...ofNodes(world, shared)])
  /* Policies ask twice each, and many have the same destinations. A cluster has a network for each node. */
  const known = new Map<Prefix, Unserved | undefined>()
  return (destination) => {
    if (!known.has(destination))
      known.set(
        destination,
        networks.find(([network]) => covers(network, destination))?.[1] ?? hosts.get(destination),
      )
    return known.get(destination)
  }
}

/** The same for the destinations of a policy, which may exclude them itself. */
export function findUnservedOf({ exclusions }: Pick<Policy, 'exclusions'>, find: FindUnserved): FindUnserved {
  return (destination) =>
    exclusions.includes(destination)
      ? {
          what: 'excludedCIDRs',
          effect: 'packets leave as without the policy',
          remedy: 'Remove the prefix from one of the lists',
        }
      : find(destination)
}

function ofSettings({ settings }: Given): readonly Network[] {
  return (['stackCIDRs', 'nonMasqueradeCIDRs'] as const).flatMap((name) =>
    settings[name].map(
      (prefix): Network => [
        prefix,
        {
          what: `${prefix} of the setting ${name}`,
          effect: "packets have the pod's address",
          remedy: `${remove}, or take it out of ${name}`,
        },
      ],
    ),
  )
}

function wellKnown({ settings: { isChained } }: Given): readonly Network[] {
  const near = isChained
    ? 'the other CNI plugin handles the packets'
    : "packets leave with the address of the pod's node"
  const stack = "packets go to the stack of the pod's node, which forwards none of them"
  const texts = [
    ['169.254.0.0/16', 'link-local', near],
    ['fe80::/10', 'link-local', stack],
    ['127.0.0.0/8', 'loopback', 'packets go out as without a policy'],
    ['::1/128', 'loopback', 'packets go out as without a policy'],
    ['224.0.0.0/4', 'multicast', 'gateways forward only unicast traffic'],
    ['ff00::/8', 'multicast', 'gateways forward only unicast traffic'],
    ['255.255.255.255/32', 'broadcast', stack],
  ] as const
  return texts.flatMap(([text, kind, effect]): readonly Network[] => {
    const prefix = parsePrefix(text)
    return prefix === undefined ? [] : [[prefix, { what: `${prefix} (${kind})`, effect, remedy: remove }]]
  })
}

function ofPods({ nodes }: Given): readonly Network[] {
  return nodes
    .flatMap(({ podCIDRs }) => podCIDRs)
    .map((prefix) => [
      prefix,
      {
        what: `the pod network ${prefix}`,
        effect: 'traffic between pods uses no egress gateway',
        remedy: remove,
      },
    ])
}

/** The broadcast addresses of networks that all nodes are on. */
function broadcasts(shared: readonly Prefix[]): readonly Network[] {
  return shared
    .filter((link) => familyOfPrefix(link) === 4 && prefixLength(link) < 31)
    .map((link) => [
      hostPrefix(lastAddress(link)),
      {
        what: `the broadcast address of ${link}`,
        effect: "packets go to the pod's own node",
        remedy: remove,
      },
    ])
}

/** Those that no pod of any node reaches by a gateway: see `resolveCluster`. */
function ofNodes(world: Given, shared: readonly Prefix[]): readonly Network[] {
  const reports = new Map(world.egressNodes.map((each) => [each.metadata.name, each]))
  return world.nodes.flatMap(({ name, internalIPs }) => {
    const report = reports.get(name)
    const links = linksOf(report).filter((link) => internalIPs.some((address) => contains(link, address)))
    const others = addressesOf(report).filter((address) =>
      [...shared, ...links].some((link) => contains(link, address)),
    )
    const unserved = {
      what: `the addresses of node ${name}`,
      effect: 'packets go to the node directly',
      remedy: remove,
    }
    return [...others, ...internalIPs].map((address) => [hostPrefix(address), unserved] as const)
  })
}

function sharedLinks({ nodes, egressNodes }: Given): readonly Prefix[] {
  const counts = new Map<Prefix, number>()
  for (const link of egressNodes.flatMap((each) => [...new Set(linksOf(each))]))
    counts.set(link, (counts.get(link) ?? 0) + 1)
  return [...counts].filter(([, count]) => count === nodes.length).map(([link]) => link)
}

function linksOf(egressNode: EgressNode | undefined): readonly Prefix[] {
  return (egressNode?.status?.interfaces ?? [])
    .flatMap(({ subnets = [] }) => subnets)
    .flatMap((text) => parsePrefix(text) ?? [])
}

function addressesOf(egressNode: EgressNode | undefined): readonly Address[] {
  return (egressNode?.status?.interfaces ?? [])
    .flatMap(({ addresses, added = [] }) => [...addresses, ...added])
    .flatMap((text) => parseAddress(text) ?? [])
}
