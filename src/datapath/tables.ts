import type { Address } from '../net/address.ts'
import { type Prefix, parsePrefix, prefixAddress, prefixLength128 } from '../net/prefix.ts'
import type { Btf, MapLayout, StructLayout, TypeLayout } from './layout/btf.ts'
import {
  address,
  array,
  type Codec,
  codec,
  encodedOnce,
  encodedOnceCodec,
  type FieldKind,
  fieldSeenAs,
  flag,
  flags,
  mac,
  named,
  port,
  seenAs,
  single,
  u8,
  u16,
  u32,
  u64,
  u64Halves,
} from './layout/codec.ts'

/** How every map's key and value look to a person: the C header's names, with lists, prefixes and addresses. */
export interface TableCodec<K, V> {
  readonly key: Codec<K>
  readonly value: Codec<V>
}

export interface Pod {
  /** 0n: no policy selects it. */
  readonly policySet: bigint
  /** CLOCK_MONOTONIC, when the pod got the address: an older mapping is its predecessor's. */
  readonly sinceNs: bigint
  /** Host side of its veth. */
  readonly ifindex: number
  readonly mac: string
  readonly hostMac: string
  /** Its entries are not complete: everything that leaves is dropped. */
  readonly isQuarantined: boolean
}

export type ClusterEntry =
  | { readonly kind: 'node'; readonly tunnelAddress: Address }
  | { readonly kind: 'host' }
  | { readonly kind: 'stack' }

interface RuleKey {
  readonly policySet: bigint
  readonly destination: Prefix
}

export type RuleEntry =
  | { readonly action: 'egress'; readonly group: bigint; readonly policy: bigint }
  | { readonly action: 'exclude'; readonly policy: bigint }
  | { readonly action: 'drop'; readonly reason: string; readonly policy: bigint }

export interface GroupEntry {
  readonly preferred: readonly Address[]
  /** For when nobody answers for a preferred one. */
  readonly standby: readonly Address[]
  readonly keepsAddress: boolean
}

export interface EgressIpEntry {
  /** Tunnel addresses, the owner first. */
  readonly order: readonly Address[]
  /** By block of 16 ports: the slot that owns it; this very node, whatever its slot; or the stack, whatever comes. */
  readonly blockOwner: readonly (number | 'self' | 'stack' | undefined)[]
}

export interface PoolKey {
  readonly address: Address
  readonly purpose: 'egress' | 'masquerade'
}

export interface SelfEntry {
  readonly tunnelAddress: Address
  readonly masquerade4: Address | undefined
  readonly masquerade6: Address | undefined
  readonly slot: number | undefined
  readonly overlayIfindex: number
  /** Largest inner IP packet that the tunnel carries whole. */
  readonly tunnelMtu: number
  readonly overlayMac: string
}

export type TableCodecs = ReturnType<typeof tableCodecs>

export function tableCodecs(btf: Btf) {
  const map = (name: string): MapLayout => {
    const layout = btf.maps.get(name)
    if (layout === undefined) throw new Error(`the object file has no map ${name}`)
    return layout
  }
  const keyTypeOf = (name: string): TypeLayout => present(map(name).key, name)
  const valueTypeOf = (name: string): TypeLayout => present(map(name).value, name)
  const byAddress = (name: string): Codec<Address> => single(keyTypeOf(name), address)
  const byNumber = (name: string): Codec<number> => single(keyTypeOf(name), u32)
  const noSlot = btf.constant('NO_SLOT')
  const verdicts = btf.enumeration('verdict')
  const flowKey = flowKeyCodec(btf.struct('flow_key'))
  return {
    pods: { key: byAddress('pods'), value: podCodec(btf) },
    cluster: { key: clusterKeyCodec(btf), value: clusterCodec(btf) },
    rules: { key: ruleKeyCodec(btf), value: ruleCodec(btf) },
    groups: { key: single(keyTypeOf('groups'), u64), value: groupCodec(btf) },
    egress_ips: { key: byAddress('egress_ips'), value: encodedOnceCodec(egressIpCodec(btf, noSlot)) },
    pools: { key: poolKeyCodec(btf), value: encodedOnceCodec(poolCodec(btf)) },
    nodes: { key: byAddress('nodes'), value: nodeCodec(btf, noSlot) },
    slots: { key: byNumber('slots'), value: single(valueTypeOf('slots'), address) },
    self: { key: byNumber('self'), value: selfCodec(btf, noSlot) },
    mappings: { key: flowKey, value: mappingCodec(btf) },
    ports: { key: flowKey, value: flowKey },
    fragments: {
      key: codec(btf.struct('fragment_key'), {
        source: address,
        destination: address,
        id: u32,
        protocol: u32,
      }),
      value: codec(btf.struct('fragment_ports'), { source_port: port, destination_port: port }),
    },
    inbound: { key: flowKey, value: codec(btf.struct('inbound'), { last_ns: u64 }) },
    counters: {
      key: byNumber('counters'),
      value: codec(btf.struct('counter'), { packets: u64, bytes: u64 }),
    },
    drop_budgets: {
      key: byNumber('drop_budgets'),
      value: codec(btf.struct('drop_budget'), { since_ns: u64, records: u64 }),
    },
    policy_drops: {
      key: codec(btf.struct('policy_drop_key'), {
        policy: u64,
        egress_ip: address,
        verdict: named(verdicts),
      }),
      value: single(valueTypeOf('policy_drops'), u64),
    },
    pod_flows: {
      key: codec(btf.struct('pod_flows_key'), { pod: address, egress_ip: address }),
      value: single(valueTypeOf('pod_flows'), u32),
    },
    pool_pressures: {
      key: poolKeyCodec(btf),
      value: codec(btf.struct('pool_pressure'), { reported_ns: u64, refused: u32 }),
    },
    probed_gateways: {
      key: byAddress('probed_gateways'),
      value: codec(btf.struct('probed_gateway'), {
        answered_ns: u64,
        refused_ns: u64,
        flapping_until_ns: u64,
      }),
    },
    simulated_run: { key: byNumber('simulated_run'), value: simulatedRunCodec(btf) },
    simulated_routes: {
      key: clusterKeyCodec(btf),
      value: codec(btf.struct('simulated_route'), { ifindex: u32, mtu: u32 }),
    },
    liveness: {
      key: byNumber('liveness'),
      value: codec(btf.struct('liveness'), { alive_until_ns: u64, probing_until_ns: u64 }),
    },
  }
}

function present(type: TypeLayout | undefined, map: string): TypeLayout {
  if (type === undefined) throw new Error(`map ${map} has no type in BTF where its codec expects one`)
  return type
}

function flowKeyCodec(layout: StructLayout) {
  return codec(layout, {
    source: address,
    destination: address,
    source_port: port,
    destination_port: port,
    protocol: u8,
  })
}

/** A flow_key inside of another struct. */
function flowKeyField(btf: Btf): FieldKind<FlowKey> {
  const flow = flowKeyCodec(btf.struct('flow_key'))
  return (type) =>
    type.kind === 'struct' && type.name === 'flow_key'
      ? { read: (buffer, at) => flow.decode(buffer, at), write: flow.encodeInto }
      : undefined
}

/** One record of the ring buffer `drops`. */
export function dropCodec(btf: Btf) {
  return codec(btf.struct('drop'), {
    time_ns: u64,
    flow: flowKeyField(btf),
    program: named(btf.enumeration('program')),
    verdict: named(btf.enumeration('verdict')),
    ifindex: u32,
    length: u32,
  })
}

/** One record of the ring buffer `pressures`. */
export function pressureCodec(btf: Btf) {
  return codec(btf.struct('port_pressure'), {
    time_ns: u64,
    port: flowKeyField(btf),
    tries: u32,
    refused: u32,
  })
}

function podCodec(btf: Btf): Codec<Pod> {
  const inner = codec(btf.struct('pod'), {
    policy_set: u64,
    since_ns: u64,
    ifindex: u32,
    mac,
    host_mac: mac,
    quarantined: flag,
  })
  return seenAs(
    inner,
    (pod) => ({
      policy_set: pod.policySet,
      since_ns: pod.sinceNs,
      ifindex: pod.ifindex,
      mac: pod.mac,
      host_mac: pod.hostMac,
      quarantined: pod.isQuarantined,
    }),
    (pod) => ({
      policySet: pod.policy_set,
      sinceNs: pod.since_ns,
      ifindex: pod.ifindex,
      mac: pod.mac,
      hostMac: pod.host_mac,
      isQuarantined: pod.quarantined,
    }),
  )
}

/** Tries compare the 128 bits from the left; an IPv4 prefix is 96 bits longer there than as people write it. */
function prefixFrom(from: Address, length128: number): Prefix {
  const isIpv4 = !from.includes(':') && length128 >= 96
  const prefix = parsePrefix(isIpv4 ? `${from}/${length128 - 96}` : `${from}/${length128}`)
  if (prefix === undefined) throw new Error(`a trie holds the impossible prefix ${from}/${length128}`)
  return prefix
}

function clusterKeyCodec(btf: Btf): Codec<Prefix> {
  const inner = codec(btf.struct('cluster_key'), { prefix_length: u32, address })
  return seenAs(
    inner,
    (prefix: Prefix) => ({ prefix_length: prefixLength128(prefix), address: prefixAddress(prefix) }),
    (key) => prefixFrom(key.address, key.prefix_length),
  )
}

function clusterCodec(btf: Btf): Codec<ClusterEntry> {
  const kinds = btf.enumeration('cluster_kind')
  const inner = codec(btf.struct('cluster_destination'), { kind: named(kinds), node: address })
  /* `::` stands in the bytes where there is no node; no one reads it there. */
  const nowhere = '::' as Address
  return seenAs(
    inner,
    (entry: ClusterEntry) => {
      if (entry.kind === 'node') return { kind: 'CLUSTER_NODE', node: entry.tunnelAddress }
      return { kind: entry.kind === 'host' ? 'CLUSTER_HOST' : 'CLUSTER_STACK', node: nowhere }
    },
    (entry) => {
      if (entry.kind === 'CLUSTER_NODE') return { kind: 'node', tunnelAddress: entry.node }
      return { kind: entry.kind === 'CLUSTER_HOST' ? 'host' : 'stack' }
    },
  )
}

const policySetBits = 64

function ruleKeyCodec(btf: Btf): Codec<RuleKey> {
  const inner = codec(btf.struct('rule_key'), {
    prefix_length: u32,
    policy_set: u64Halves,
    destination: address,
  })
  return seenAs(
    inner,
    (key: RuleKey) => ({
      prefix_length: policySetBits + prefixLength128(key.destination),
      policy_set: key.policySet,
      destination: prefixAddress(key.destination),
    }),
    (key) => ({
      policySet: key.policy_set,
      destination: prefixFrom(key.destination, key.prefix_length - policySetBits),
    }),
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
  const inner = codec(btf.struct('group'), {
    count: u32,
    preferred: u32,
    keeps_address: flag,
    egress_ips: array(address),
  })
  return seenAs(
    inner,
    ({ preferred, standby, keepsAddress }: GroupEntry) => ({
      count: preferred.length + standby.length,
      preferred: preferred.length,
      keeps_address: keepsAddress,
      egress_ips: [...preferred, ...standby],
    }),
    (group) => ({
      preferred: group.egress_ips.slice(0, group.preferred),
      standby: group.egress_ips.slice(group.preferred, group.count),
      keepsAddress: group.keeps_address,
    }),
  )
}

function egressIpCodec(btf: Btf, noSlot: number): Codec<EgressIpEntry> {
  const thisNode = btf.constant('THIS_NODE')
  const leftToStack = btf.constant('LEFT_TO_STACK')
  const numbers = { self: thisNode, stack: leftToStack }
  const names = new Map([[noSlot, undefined], [thisNode, 'self' as const], [leftToStack, 'stack' as const]]) // biome-ignore format: short
  const owner = fieldSeenAs(
    u16,
    (value: EgressIpEntry['blockOwner'][number]) =>
      typeof value === 'string' ? numbers[value] : (value ?? noSlot),
    (slot) => (names.has(slot) ? names.get(slot) : slot),
  )
  const inner = codec(btf.struct('egress_ip'), {
    holder_count: u32,
    order: array(address),
    block_owner: encodedOnce(array(owner)),
  })
  return seenAs(
    inner,
    (entry: EgressIpEntry) => ({
      holder_count: entry.order.length,
      order: entry.order,
      block_owner: entry.blockOwner,
    }),
    (entry) => ({
      order: entry.order.slice(0, entry.holder_count),
      blockOwner: entry.block_owner,
    }),
  )
}

function poolKeyCodec(btf: Btf): Codec<PoolKey> {
  const inner = codec(btf.struct('pool_key'), { address, purpose: named(btf.enumeration('pool_purpose')) })
  return seenAs(
    inner,
    (key: PoolKey) => ({
      address: key.address,
      purpose: key.purpose === 'egress' ? 'POOL_EGRESS' : 'POOL_MASQUERADE',
    }),
    (key) => ({ address: key.address, purpose: key.purpose === 'POOL_EGRESS' ? 'egress' : 'masquerade' }),
  )
}

function poolCodec(btf: Btf): Codec<readonly number[]> {
  const inner = codec(btf.struct('pool'), { count: u32, blocks: array(u16) })
  return seenAs(
    inner,
    (blocks: readonly number[]) => ({ count: blocks.length, blocks }),
    (pool) => pool.blocks.slice(0, pool.count),
  )
}

function nodeCodec(btf: Btf, noSlot: number): Codec<{ readonly slot: number | undefined }> {
  const inner = codec(btf.struct('node'), { slot: u32 })
  return seenAs(
    inner,
    (node: { readonly slot: number | undefined }) => ({ slot: node.slot ?? noSlot }),
    (node) => ({ slot: node.slot === noSlot ? undefined : node.slot }),
  )
}

function selfCodec(btf: Btf, noSlot: number): Codec<SelfEntry> {
  const inner = codec(btf.struct('self'), {
    tunnel_address: address,
    masquerade4: address,
    masquerade6: address,
    has_masquerade4: flag,
    has_masquerade6: flag,
    slot: u32,
    overlay_ifindex: u32,
    tunnel_mtu: u32,
    overlay_mac: mac,
  })
  const nowhere = '::' as Address
  return seenAs(
    inner,
    (self: SelfEntry) => ({
      tunnel_address: self.tunnelAddress,
      masquerade4: self.masquerade4 ?? nowhere,
      masquerade6: self.masquerade6 ?? nowhere,
      has_masquerade4: self.masquerade4 !== undefined,
      has_masquerade6: self.masquerade6 !== undefined,
      slot: self.slot ?? noSlot,
      overlay_ifindex: self.overlayIfindex,
      tunnel_mtu: self.tunnelMtu,
      overlay_mac: self.overlayMac,
    }),
    (self) => ({
      tunnelAddress: self.tunnel_address,
      masquerade4: self.has_masquerade4 ? self.masquerade4 : undefined,
      masquerade6: self.has_masquerade6 ? self.masquerade6 : undefined,
      slot: self.slot === noSlot ? undefined : self.slot,
      overlayIfindex: self.overlay_ifindex,
      tunnelMtu: self.tunnel_mtu,
      overlayMac: self.overlay_mac,
    }),
  )
}

function mappingCodec(btf: Btf) {
  return codec(btf.struct('mapping'), {
    reclaimed: flag,
    egress_ip: address,
    egress_port: port,
    state: flags(btf.enumeration('mapping_state')),
    masqueraded: flag,
    fin_out_end: u32,
    fin_in_end: u32,
    acknowledged: u32,
    policy: u64,
    created_ns: u64,
    last_outward_ns: u64,
    last_inward_ns: u64,
    closed_ns: u64,
    packets_out: u64,
    packets_in: u64,
    bytes_out: u64,
    bytes_in: u64,
  })
}

/** Of a simulation: what a run of a program is told, and what it did. */
function simulatedRunCodec(btf: Btf) {
  return codec(btf.struct('simulated_run'), {
    now_ns: u64,
    random: u64,
    tunnel_source: address,
    tunnel_vni: u32,
    ifindex: u32,
    has_own_socket: flag,
    verdict: named(btf.enumeration('verdict')),
    departure: named(btf.enumeration('departure')),
    sent_ifindex: u32,
    sent_vni: u32,
    sent_node: address,
  })
}

export type SimulatedRun = ReturnType<ReturnType<typeof simulatedRunCodec>['decode']>
export type Mapping = ReturnType<ReturnType<typeof mappingCodec>['decode']>
export type FlowKey = ReturnType<ReturnType<typeof flowKeyCodec>['decode']>
export type PressureRecord = ReturnType<ReturnType<typeof pressureCodec>['decode']>
export type DropRecord = ReturnType<ReturnType<typeof dropCodec>['decode']>
