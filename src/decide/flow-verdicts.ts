import type { Address } from '../net/address.ts'
import { longestMatch, type Prefix } from '../net/prefix.ts'
import type { DropReason, NetworkRule, Tables } from './tables.ts'

/** What the datapath does with a pod's new flow to a destination outside the cluster. */
type FlowVerdict =
  | { readonly action: 'unknownPod' }
  | { readonly action: 'masquerade'; readonly policy: string | undefined }
  | { readonly action: 'egress'; readonly egressIps: readonly Address[]; readonly policy: string | undefined }
  | { readonly action: 'drop'; readonly reason: DropReason; readonly policy: string | undefined }

interface NewFlow {
  /** As in an IP header. Default: TCP. */
  readonly protocol?: number
  /** Of the destination; 0 if the protocol has none. Default: 443. */
  readonly port?: number
  /** What no egress policy selects is left to another CNI plugin, and so are the NetworkPolicies for it. */
  readonly isChained?: boolean
}

/** Reads the tables as the datapath does: the pod's policy set, the longest prefix, the NetworkPolicies, the group. */
export function flowVerdict(
  tables: Tables,
  source: Address,
  destination: Address,
  { protocol = 6, port = 443, isChained = false }: NewFlow = {},
): FlowVerdict {
  const pod = tables.podsByIp.get(source)
  if (pod === undefined) return { action: 'unknownPod' }
  const rule = entryFor(tables.rules.get(pod.policySet), destination)
  const policy = rule && tables.policies.get(rule.policy)?.name
  const isSelected = rule !== undefined && rule.action !== 'exclude'
  if (!isSelected && isChained) return { action: 'masquerade', policy }
  if (!allowsFlow(tables, pod.networkSet, { destination, protocol, port }))
    return { action: 'drop', reason: 'DROP_NETWORK_POLICY', policy }
  if (!isSelected) return { action: 'masquerade', policy }
  return rule.action === 'drop'
    ? { action: 'drop', reason: rule.reason, policy }
    : { action: 'egress', egressIps: tables.groups.get(rule.group)?.preferred ?? [], policy }
}

function entryFor<T>(byPrefix: ReadonlyMap<Prefix, T> | undefined, destination: Address): T | undefined {
  const longest = longestMatch(byPrefix?.keys() ?? [], destination)
  return longest === undefined ? undefined : byPrefix?.get(longest)
}

/** Whether the NetworkPolicies of a set allow a flow to a destination outside the cluster. The set 0 restricts nothing. */
export function allowsFlow(
  tables: Tables,
  networkSet: bigint,
  flow: { readonly destination: Address; readonly protocol: number; readonly port: number },
): boolean {
  if (networkSet === 0n) return true
  return allows(
    tables,
    entryFor(tables.networkRules.get(networkSet), flow.destination),
    flow.protocol,
    flow.port,
  )
}

function allows(tables: Tables, rule: NetworkRule | undefined, protocol: number, port: number): boolean {
  if (rule === undefined || rule.action === 'deny') return false
  if (rule.action === 'allow') return true
  const ranges = tables.portLists.get(rule.portList) ?? []
  return ranges.some((range) => range.protocol === protocol && range.first <= port && port <= range.last)
}
