import type { Address } from '../net/address.ts'
import { contains, type Prefix, prefixLength } from '../net/prefix.ts'
import type { DropReason, Tables } from './tables.ts'

/** What the datapath does with a pod's new flow to a destination outside the cluster. */
type FlowVerdict =
  | { readonly action: 'unknownPod' }
  | { readonly action: 'masquerade'; readonly policy: string | undefined }
  | { readonly action: 'egress'; readonly egressIps: readonly Address[]; readonly policy: string | undefined }
  | { readonly action: 'drop'; readonly reason: DropReason; readonly policy: string | undefined }

/** Reads the tables as the datapath does: the pod's policy set, the longest prefix, the group. */
export function flowVerdict(tables: Tables, source: Address, destination: Address): FlowVerdict {
  const pod = tables.podsByIp.get(source)
  if (pod === undefined) return { action: 'unknownPod' }
  const rules = tables.rules.get(pod.policySet)
  const longest = [...(rules?.keys() ?? [])]
    .filter((prefix) => contains(prefix, destination))
    .reduce<Prefix | undefined>(
      (a, b) => (a === undefined || prefixLength(b) > prefixLength(a) ? b : a),
      undefined,
    )
  const rule = longest === undefined ? undefined : rules?.get(longest)
  if (rule === undefined) return { action: 'masquerade', policy: undefined }
  const policy = tables.policies.get(rule.policy)?.name
  switch (rule.action) {
    case 'exclude':
      return { action: 'masquerade', policy }
    case 'drop':
      return { action: 'drop', reason: rule.reason, policy }
    case 'egress':
      return { action: 'egress', egressIps: tables.groups.get(rule.group)?.preferred ?? [], policy }
  }
}
