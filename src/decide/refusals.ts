import { type Context, selectingPolicies } from './context.ts'
import type { Refusal } from './tables.ts'

/** Who is dropped for a NetworkPolicy's sake, in words that a person can follow. */
export function listRefusals(context: Context): readonly Refusal[] {
  const { world, self, restrictions } = context
  return world.pods
    .filter(({ hostNetwork, nodeName }) => !hostNetwork && nodeName === self.name)
    .flatMap((pod) => {
      const networkPolicies = restrictions(pod)
      const policies = networkPolicies.length === 0 ? [] : selectingPolicies(context, pod)
      if (policies.length === 0) return []
      const names = policies.map(({ kind, name }) => `${kind} ${name}`)
      return [{ pod: `${pod.namespace}/${pod.name}`, networkPolicies, policies: names }]
    })
    .sort((a, b) => (a.pod < b.pod ? -1 : 1))
}
