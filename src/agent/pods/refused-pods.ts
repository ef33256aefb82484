import type { Refusal } from '../../decide/tables.ts'

/** More names would not help the reader. */
const maxPodsNamed = 3
const maxProblemsNamed = 3

/** One sentence for all pods that the same NetworkPolicies and egress policies select. */
export function describeRefusals(refusals: readonly Refusal[]): readonly string[] {
  const alike = Map.groupBy(refusals, ({ networkPolicies, policies, problems }) =>
    JSON.stringify([networkPolicies, policies, problems]),
  )
  return [...alike.values()].flatMap(([first, ...others]) =>
    first === undefined
      ? []
      : describeAlike(
          first,
          [first, ...others].map(({ pod }) => pod),
        ),
  )
}

function describeAlike({ networkPolicies, policies, problems }: Refusal, pods: readonly string[]): string {
  const more = pods.length - maxPodsNamed
  const named = [...pods.slice(0, maxPodsNamed), ...(more > 0 ? [`${more} more`] : [])].join(', ')
  const subject = pods.length === 1 ? `pod ${named}` : `pods ${named}`
  const restricted = `NetworkPolicy ${networkPolicies.join(', ')} restricts the egress of ${subject}.`
  if (problems.length > 0)
    return `${restricted} Sallyport cannot evaluate part of it, and that part allows nothing: ${problems.slice(0, maxProblemsNamed).join('. ')}.`
  return `${restricted} With cni.networkPolicies=refuse, Sallyport drops all traffic of such pods that an egress policy selects. To let out what the NetworkPolicy allows, set cni.networkPolicies=enforce. Otherwise exclude the pods from the NetworkPolicy or from ${policies.join(', ')}.`
}
