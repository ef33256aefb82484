import type { LabelSelector } from '../../api/label-selector.ts'
import type { EgressRestriction, World, WorldPod } from '../world.ts'
import { type LabelTest, labelTest, selectorProblem } from './select.ts'

interface NetworkPolicySpec {
  readonly podSelector?: LabelSelector
  readonly policyTypes?: readonly string[]
  readonly egress?: readonly { readonly to?: readonly unknown[]; readonly ports?: readonly unknown[] }[]
}

/**
 * Undefined where it says nothing about egress. Without policyTypes that is where it has no egress rules; this is the API
 * server's own default.
 */
export function readEgressRestriction(
  { namespace = '', name }: { readonly namespace?: string; readonly name: string },
  { podSelector = {}, policyTypes = [], egress = [] }: NetworkPolicySpec,
): EgressRestriction | undefined {
  const isAboutEgress = policyTypes.length > 0 ? policyTypes.includes('Egress') : egress.length > 0
  if (!isAboutEgress) return undefined
  const allowsAll = egress.some(({ to = [], ports = [] }) => to.length === 0 && ports.length === 0)
  return { namespace, name, podSelector, allowsAll }
}

type Restricts = (pod: WorldPod) => readonly string[]

/**
 * Which NetworkPolicies take something away from what a pod sends, by `namespace/name`. Claimed packets never pass where
 * those are enforced. Alone on a node there is nobody who would enforce them, and nobody who could be bypassed.
 */
export function restrictionsOf({ settings, networkPolicies = [] }: World): Restricts {
  if (!settings.isChained || settings.networkPolicies === 'bypass') return () => []
  const byNamespace = Map.groupBy(networkPolicies.map(withTest), ({ namespace }) => namespace)
  return ({ namespace, labels }) => {
    const selecting = (byNamespace.get(namespace) ?? []).filter(({ selects }) => selects(labels))
    if (selecting.some(({ allowsAll }) => allowsAll))
      return [] /* they add up: one that allows all is enough */
    return selecting.map(({ name }) => `${namespace}/${name}`).sort()
  }
}

/** A selector that cannot be understood may mean any pod of its namespace. */
function withTest(restriction: EgressRestriction): EgressRestriction & { readonly selects: LabelTest } {
  const { podSelector } = restriction
  const selects = selectorProblem(podSelector) === undefined ? labelTest(podSelector) : () => true
  return { ...restriction, selects }
}
