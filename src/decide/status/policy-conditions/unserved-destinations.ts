import { overlaps, type Prefix, parsePrefix, prefixLength } from '../../../net/prefix.ts'
import type { Policy } from '../../policies/policies.ts'
import type { Settings, World } from '../../world.ts'
import type { TimelessCondition } from '../conditions.ts'

/** A network to which no policy applies, and which address packets to it have. */
interface Unserved {
  readonly prefix: Prefix
  readonly what: string
  readonly leaves: string
  readonly remedy: string
}

const near = [
  ['169.254.0.0/16', 'link-local'],
  ['fe80::/10', 'link-local'],
  ['127.0.0.0/8', 'loopback'],
  ['::1/128', 'loopback'],
] as const

/**
 * A condition for destinations that lie wholly inside a network to which no policy applies. Lists show an egress IP for them,
 * but packets have another address. A destination that contains such a network, for example 0.0.0.0/0, is not a mistake.
 */
export function unservedDestinationConditions(
  { destinations, problems }: Policy,
  { settings, nodes }: Pick<World, 'settings' | 'nodes'>,
): readonly TimelessCondition[] {
  if (problems.length > 0) return []
  const networks = unservedNetworks(settings, nodes)
  const texts = destinations.flatMap((destination) => {
    const network = networks.find(({ prefix }) => isInside(destination, prefix))
    if (network === undefined) return []
    const { what, leaves, remedy } = network
    return [
      `destinationCIDRs has ${destination}, which is inside ${what}. No policy applies there: ${leaves}. ${remedy}.`,
    ]
  })
  if (texts.length === 0) return []
  const isAll = texts.length === destinations.length
  const reason = isAll ? 'AllDestinations' : 'SomeDestinations'
  return [{ type: 'DestinationsNotServed', status: 'True', reason, message: texts.join(' ') }]
}

function unservedNetworks(settings: Settings, nodes: World['nodes']): readonly Unserved[] {
  const ofSetting = (name: 'stackCIDRs' | 'nonMasqueradeCIDRs'): readonly Unserved[] =>
    settings[name].map((prefix) => ({
      prefix,
      what: `${prefix} of the setting ${name}`,
      leaves: "packets have the pod's address",
      remedy: `Remove the destination, or take it out of ${name}`,
    }))
  return [
    ...ofSetting('stackCIDRs'),
    ...ofSetting('nonMasqueradeCIDRs'),
    ...near.flatMap(([text, kind]) => {
      const prefix = parsePrefix(text)
      const leaves = 'packets stay on the node or its link'
      return prefix === undefined
        ? []
        : [{ prefix, what: `${prefix} (${kind})`, leaves, remedy: 'Remove the destination' }]
    }),
    ...nodes.flatMap(({ name, internalIPs }) =>
      internalIPs.flatMap((address) => {
        const prefix = parsePrefix(`${address}/${address.includes(':') ? 128 : 32}`)
        const leaves = 'packets go to the node directly'
        return prefix === undefined
          ? []
          : [{ prefix, what: `the addresses of node ${name}`, leaves, remedy: 'Remove the destination' }]
      }),
    ),
  ]
}

function isInside(destination: Prefix, network: Prefix): boolean {
  return overlaps(network, destination) && prefixLength(network) <= prefixLength(destination)
}
