import type { Address } from '../../net/address.ts'
import { type Prefix, prefixAddress, prefixLength128 } from '../../net/prefix.ts'
import type { Btf } from '../layout/btf.ts'
import {
  address,
  array,
  type Codec,
  codec,
  flag,
  mac,
  named,
  record,
  seenAs,
  u32,
  u64,
} from '../layout/codec.ts'
import { type Decoded, soleKey } from './map-layout.ts'
import { networkPolicyTables } from './network-policy-tables.ts'
import { prefixFrom, setKeyCodec } from './trie-prefix.ts'

/** The policy set of a pod, the rule of a policy set for a destination, and the egress IPs of a group. */
export const policyTables = (btf: Btf) => ({
  pods: { key: soleKey(btf, 'pods', address), value: podCodec(btf) },
  cluster: { key: clusterKeyCodec(btf), value: clusterCodec(btf) },
  rules: { key: setKeyCodec(btf.struct('rule_key'), 'policy_set'), value: ruleCodec(btf) },
  groups: { key: soleKey(btf, 'groups', u64), value: groupCodec(btf) },
  ...networkPolicyTables(btf),
})

export type Pod = Decoded<typeof podCodec>

export type ClusterEntry =
  | { readonly kind: 'pods'; readonly tunnelAddress: Address }
  | ({ readonly kind: 'node'; readonly tunnelAddress: Address } & NodeAddress)
  | ({ readonly kind: 'host' } & NodeAddress)
  | { readonly kind: 'stack' | 'routed' }

interface NodeAddress {
  /** An egress IP. */
  readonly carriesFlows?: true
  /** Services have their node ports there. */
  readonly takesNodePorts?: true
}

export type RuleEntry =
  | { readonly action: 'egress'; readonly group: bigint; readonly policy: bigint }
  | { readonly action: 'exclude'; readonly policy: bigint }
  | { readonly action: 'drop'; readonly reason: string; readonly policy: bigint }

export interface GroupEntry {
  readonly preferred: readonly Address[]
  /** New flows use these if no holder of a preferred one is reachable. */
  readonly standby: readonly Address[]
  readonly keepsAddress: boolean
}

const podCodec = (btf: Btf) =>
  record(
    btf.struct('pod'),
    {
      /** 0n if no policy selects the pod. */
      policySet: u64,
      /** 0n: no NetworkPolicy restricts its egress. */
      networkSet: u64,
      /** CLOCK_MONOTONIC, when the pod got the address. An older mapping belongs to the pod that had it before. */
      sinceNs: u64,
      /** The host side of the pod's veth. */
      ifindex: u32,
      mac,
      hostMac: mac,
      /** The pod's entries are not complete, so all its packets are dropped. */
      isQuarantined: flag,
      /** No pod: the address with which the node's own processes reach Services. */
      isNode: flag,
    },
    { quarantined: 'isQuarantined' },
  )

export function clusterKeyCodec(btf: Btf): Codec<Prefix> {
  const inner = codec(btf.struct('cluster_key'), { prefix_length: u32, address })
  return seenAs(
    inner,
    (prefix: Prefix) => ({ prefix_length: prefixLength128(prefix), address: prefixAddress(prefix) }),
    (key) => prefixFrom(key.address, key.prefix_length),
  )
}

const clusterKinds = [
  ['node', 'CLUSTER_NODE'],
  ['pods', 'CLUSTER_PODS'],
  ['host', 'CLUSTER_HOST'],
  ['stack', 'CLUSTER_STACK'],
  ['routed', 'CLUSTER_ROUTED'],
] as const

function clusterCodec(btf: Btf): Codec<ClusterEntry> {
  const inner = codec(btf.struct('cluster_destination'), {
    kind: named(btf.enumeration('cluster_kind')),
    carries_flows: flag,
    takes_node_ports: flag,
    node: address,
  })
  /* The bytes hold `::` if there is no node. No program reads them then. */
  const nowhere = '::' as Address
  return seenAs(
    inner,
    (entry: ClusterEntry) => ({
      kind: clusterKinds.find(([kind]) => kind === entry.kind)?.[1] ?? 'CLUSTER_STACK',
      carries_flows: 'carriesFlows' in entry && entry.carriesFlows === true,
      takes_node_ports: 'takesNodePorts' in entry && entry.takesNodePorts === true,
      node: 'tunnelAddress' in entry ? entry.tunnelAddress : nowhere,
    }),
    (entry) => {
      const kind = clusterKinds.find(([, name]) => name === entry.kind)?.[0] ?? 'stack'
      if (kind === 'stack' || kind === 'routed') return { kind }
      if (kind === 'pods') return { kind, tunnelAddress: entry.node }
      const uses = {
        ...(entry.carries_flows ? { carriesFlows: true as const } : {}),
        ...(entry.takes_node_ports ? { takesNodePorts: true as const } : {}),
      }
      return kind === 'host' ? { kind, ...uses } : { kind, tunnelAddress: entry.node, ...uses }
    },
  )
}

function ruleCodec(btf: Btf): Codec<RuleEntry> {
  const inner = codec(btf.struct('rule'), {
    group: u64,
    policy: u64,
    action: named(btf.enumeration('rule_action')),
    verdict: named(btf.enumeration('verdict')),
  })
  return seenAs(
    inner,
    (rule: RuleEntry) => ({
      group: rule.action === 'egress' ? rule.group : 0n,
      policy: rule.policy,
      action: { egress: 'RULE_EGRESS', exclude: 'RULE_EXCLUDE', drop: 'RULE_DROP' }[rule.action],
      verdict: rule.action === 'drop' ? rule.reason : 'CONTINUE',
    }),
    (rule) => {
      if (rule.action === 'RULE_EGRESS') return { action: 'egress', group: rule.group, policy: rule.policy }
      if (rule.action === 'RULE_EXCLUDE') return { action: 'exclude', policy: rule.policy }
      return { action: 'drop', reason: rule.verdict, policy: rule.policy }
    },
  )
}

function groupCodec(btf: Btf): Codec<GroupEntry> {
  const inner = record(btf.struct('group'), {
    count: u32,
    preferred: u32,
    keepsAddress: flag,
    egressIps: array(address),
  })
  return seenAs(
    inner,
    ({ preferred, standby, keepsAddress }: GroupEntry) => ({
      count: preferred.length + standby.length,
      preferred: preferred.length,
      keepsAddress,
      egressIps: [...preferred, ...standby],
    }),
    ({ count, preferred, keepsAddress, egressIps }) => ({
      preferred: egressIps.slice(0, preferred),
      standby: egressIps.slice(preferred, count),
      keepsAddress,
    }),
  )
}
