import type { Address } from '../../net/address.ts'
import { contains, type Prefix } from '../../net/prefix.ts'

/** A pod of this node, and the addresses that were assigned to it. */
interface PodWithAddresses {
  readonly pod: { readonly namespace: string; readonly name: string }
  readonly addresses: readonly Address[]
}

/** How many pods the message names. The others are counted. */
const named = 5

/**
 * Names pods whose addresses are outside this node's pod CIDRs. This happens if a Node object is deleted and registered again
 * with other prefixes. Other nodes find pods by the prefixes of Node objects, so they cannot reach these pods.
 */
export function strayPodProblems(
  attachments: readonly PodWithAddresses[],
  podCIDRs: readonly Prefix[] | undefined,
): string[] {
  if (podCIDRs === undefined || podCIDRs.length === 0) return []
  const strays = attachments.filter(({ addresses }) =>
    addresses.some((address) => !podCIDRs.some((prefix) => contains(prefix, address))),
  )
  if (strays.length === 0) return []
  const names = strays.slice(0, named).map(({ pod }) => `${pod.namespace}/${pod.name}`)
  const more = strays.length > named ? ` and ${strays.length - named} more` : ''
  return [
    `Pods on this node have addresses outside its pod CIDRs (${podCIDRs.join(', ')}), so pods on other nodes cannot reach them. Delete ${names.join(', ')}${more} so that they get new addresses.`,
  ]
}
