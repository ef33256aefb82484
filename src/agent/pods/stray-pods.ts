import type { Address } from '../../net/address.ts'
import { contains, type Prefix } from '../../net/prefix.ts'

/** A pod that runs here, and the addresses that it was given. */
interface PodWithAddresses {
  readonly pod: { readonly namespace: string; readonly name: string }
  readonly addresses: readonly Address[]
}

/** So many are named; the others are counted. */
const named = 5

/**
 * Pods whose addresses are outside this node's pod CIDRs, which happens when a Node object is deleted and registered again with
 * other prefixes. Other nodes find pods by the prefixes of Node objects, so they cannot reach these.
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
