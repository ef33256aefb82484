import type { Refusal } from '../../decide/tables.ts'

/** More names would not help the reader. */
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
  return `NetworkPolicy ${networkPolicies.join(', ')} restricts the egress of ${subject}. Sallyport cannot enforce a NetworkPolicy on traffic that an egress policy selects, so it drops this traffic. Exclude the pods from the NetworkPolicy or from ${policies.join(', ')}, or allow all egress in the NetworkPolicy. To send the traffic without the NetworkPolicy, set cni.networkPolicies=bypass.`
}
