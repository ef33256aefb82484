import type { Refusal } from '../../decide/tables.ts'

/** More names would not help who reads them. */
const maxPodsNamed = 3

/** One sentence for all pods that the same NetworkPolicies and egress policies select. */
export function describeRefusals(refusals: readonly Refusal[]): readonly string[] {
  const alike = Map.groupBy(refusals, ({ networkPolicies, policies }) =>
    JSON.stringify([networkPolicies, policies]),
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

function describeAlike({ networkPolicies, policies }: Refusal, pods: readonly string[]): string {
  const more = pods.length - maxPodsNamed
  const named = [...pods.slice(0, maxPodsNamed), ...(more > 0 ? [`${more} more`] : [])].join(', ')
  const subject = pods.length === 1 ? `pod ${named}` : `pods ${named}`
  return `NetworkPolicy ${networkPolicies.join(', ')} restricts ${subject}. It cannot be enforced on traffic of ${policies.join(', ')}, so that traffic is dropped. Allow all egress in the NetworkPolicy, exclude the pods from one of the two, or set cni.networkPolicies=bypass.`
}
