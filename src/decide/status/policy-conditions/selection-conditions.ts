import { familyOfPrefix } from '../../../net/prefix.ts'
import { type Exits, hasEgressIp } from '../../gateways/gateways.ts'
import type { Policy } from '../../policies/policies.ts'
import type { TimelessCondition } from '../conditions.ts'
import { inFull, unroutedIpv6 } from './gateway-losses.ts'

/** A condition for a policy that selects no pod, because the pods that it was meant for leave with the node's address. */
export function selectionConditions(
  { selections, problems }: Policy,
  isWithoutPods: boolean,
): readonly TimelessCondition[] {
  if (problems.length > 0) return []
  const type = 'SelectsNoPods'
  if (selections.length === 0)
    return [
      {
        type,
        status: 'True',
        reason: 'NoSelectors',
        message: 'selectors is empty, so the policy selects no pod. Use podSelector {} to select all pods.',
      },
    ]
  if (!isWithoutPods) return []
  return [
    {
      type,
      status: 'True',
      reason: 'NoPodMatches',
      message:
        'No running pod matches selectors. Compare them with the output of kubectl get pods -A --show-labels. Host-network pods are never selected.',
    },
  ]
}

/**
 * A condition if a policy has destinations of a family of which no gateway has an egress IP. That family's traffic is
 * dropped. It is reported only if the pods have addresses of the family.
 */
export function familyConditions(
  { destinations }: Policy,
  exits: Exits,
  ofPods: ReadonlySet<string>,
): readonly TimelessCondition[] {
  const gateways = exits.flat().filter(hasEgressIp)
  const missing = ([4, 6] as const).filter(
    (family) =>
      ofPods.has(`IPv${family}`) &&
      destinations.some((prefix) => familyOfPrefix(prefix) === family) &&
      gateways.length > 0 &&
      gateways.every(({ egressIps }) => egressIps[family] === undefined),
  )
  const remedies = unroutedIpv6(exits.flat()).map(inFull)
  const remedyOf = (family: 4 | 6): string =>
    family === 6 && remedies.length > 0
      ? remedies.join(' ')
      : `Add an IPv${family} address to a gateway, or remove the prefixes.`
  return missing.map((family) => ({
    type: 'DropsFamily',
    status: 'True',
    reason: family === 4 ? 'NoIPv4EgressIP' : 'NoIPv6EgressIP',
    message: `destinationCIDRs has IPv${family} prefixes, but no gateway has an IPv${family} egress IP. IPv${family} traffic to them is dropped. ${remedyOf(family)}`,
  }))
}
