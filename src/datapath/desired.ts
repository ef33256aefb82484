import type { Address, Family } from '../net/address.ts'
import type { Prefix } from '../net/prefix.ts'
import { keyString, type RawEntries } from './maps/maps.ts'
import type { LinkEntry } from './tables/link-tables.ts'
import type { TableCodec } from './tables/map-layout.ts'
import type { NetworkRuleEntry, PortRangeEntry } from './tables/network-policy-tables.ts'
import type { ClusterEntry, GroupEntry, Pod, RuleEntry } from './tables/policy-tables.ts'
import type { EgressIpEntry, NodeEntry, PoolKey, SelfEntry } from './tables/port-tables.ts'
import { endpointRows, memberRows, serviceRows, sourceRows } from './tables/service-rows.ts'
import type { NodeClientEntry, ServiceEntry, ServiceKey } from './tables/service-tables.ts'
import type { TableCodecs } from './tables/table-codecs.ts'
import { containsMapped, withoutMapped } from './tables/trie-prefix.ts'

/** Everything that the agent's tables must hold: the result of `resolve`, with the devices that only the node knows. */
export interface Desired {
  readonly self: SelfEntry
  /** By tunnel address. */
  readonly nodes: ReadonlyMap<Address, NodeEntry>
  /** By tunnel address: the nodes to which packets can go without a tunnel. */
  readonly links: ReadonlyMap<Address, LinkEntry>
  /** By MAC: the tunnel address of the node whose frames have it as their source. */
  readonly linkMacs: ReadonlyMap<string, Address>
  readonly egressIps: ReadonlyMap<Address, EgressIpEntry>
  readonly pools: readonly (PoolKey & { readonly blocks: readonly number[] })[]
  readonly groups: ReadonlyMap<bigint, GroupEntry>
  readonly cluster: ReadonlyMap<Prefix, ClusterEntry>
  /** By policy set, then by destination. */
  readonly rules: ReadonlyMap<bigint, ReadonlyMap<Prefix, RuleEntry>>
  /** All of them if Sallyport replaces kube-proxy; chained, those that lead out of the cluster. */
  readonly services: readonly (ServiceKey & ServiceEntry)[]
  /** By set of NetworkPolicies, then by destination. */
  readonly networkRules: ReadonlyMap<bigint, ReadonlyMap<Prefix, NetworkRuleEntry>>
  readonly portLists: ReadonlyMap<bigint, readonly PortRangeEntry[]>
  readonly pods: ReadonlyMap<Address, Pod>
  /** Absent for a family: no Services for the node's processes. */
  readonly nodeClients: ReadonlyMap<Family, NodeClientEntry>
}

/**
 * The tables that only the agent writes, in the order in which entries are added. An entry is added after those that it
 * points to, and deleted before them. So no packet follows a pointer to a missing entry.
 */
export const writeOrder = [
  'self', 'nodes', 'slots', 'links', 'link_macs', 'egress_ips', 'pools', 'groups', 'cluster', 'rules',
  'service_endpoints', 'service_members', 'service_sources', 'services', 'port_lists', 'network_rules', 'pods', 'node_clients',
] as const // biome-ignore format: one line shows the order

export type AgentTable = (typeof writeOrder)[number]

/** The bytes that each of the agent's maps must hold. Rows of Services are encoded once for each list of Services. */
export function encodeDesired(codecs: TableCodecs, desired: Desired): Record<AgentTable, RawEntries> {
  const { nodes } = desired
  return {
    ...encodeServices(codecs, desired.services),
    self: encodeAll(codecs.self, [[0, desired.self]]),
    nodes: encodeAll(codecs.nodes, nodes),
    slots: encodeAll(codecs.slots, slotHolders(nodes)),
    links: encodeAll(codecs.links, desired.links),
    link_macs: encodeAll(codecs.link_macs, desired.linkMacs),
    egress_ips: encodeAll(codecs.egress_ips, desired.egressIps),
    pools: encodeAll(
      codecs.pools,
      desired.pools.map(({ blocks, ...key }) => [key, blocks] as const),
    ),
    groups: encodeAll(codecs.groups, desired.groups),
    cluster: encodeAll(codecs.cluster, flattenCluster(desired.cluster)),
    rules: encodeAll(codecs.rules, flattenRules(desired.rules)),
    port_lists: encodeAll(codecs.port_lists, desired.portLists),
    network_rules: encodeAll(codecs.network_rules, flatten(desired.networkRules)),
    pods: encodeAll(codecs.pods, desired.pods),
    node_clients: encodeAll(codecs.node_clients, desired.nodeClients),
  }
}

type ServiceTable = 'services' | 'service_endpoints' | 'service_members' | 'service_sources'

/** There may be hundreds of thousands of rows. */
const encodedServices = new WeakMap<
  Desired['services'],
  { readonly codecs: TableCodecs; readonly rows: Record<ServiceTable, RawEntries> }
>()

function encodeServices(
  codecs: TableCodecs,
  services: Desired['services'],
): Record<ServiceTable, RawEntries> {
  const known = encodedServices.get(services)
  if (known?.codecs === codecs) return known.rows
  const rows = {
    service_endpoints: encodeAll(codecs.service_endpoints, endpointRows(services)),
    service_members: encodeAll(codecs.service_members, memberRows(services)),
    service_sources: encodeAll(codecs.service_sources, sourceRows(services)),
    services: encodeAll(codecs.services, serviceRows(services)),
  }
  encodedServices.set(services, { codecs, rows })
  return rows
}

function encodeAll<K, V>(codec: TableCodec<K, V>, entries: Iterable<readonly [K, V]>): RawEntries {
  const encoded: RawEntries = new Map()
  for (const [key, value] of entries) encoded.set(keyString(codec.key.encode(key)), codec.value.encode(value))
  return encoded
}

function* slotHolders(nodes: Desired['nodes']): Generator<readonly [number, Address]> {
  for (const [address, { slot }] of nodes) if (slot !== undefined) yield [slot, address]
}

function* flattenCluster(cluster: Desired['cluster']) {
  for (const [prefix, entry] of cluster)
    for (const part of withoutMapped(prefix)) yield [part, entry] as const
}

const allIpv4 = '0.0.0.0/0' as Prefix

/**
 * A policy for ::/0 is none for IPv4, whose addresses are in the same trie. A rule that excludes them all says so, unless there is one
 * for them.
 */
function* flattenRules(rules: Desired['rules']) {
  yield* flatten(rules)
  for (const [set, byDestination] of rules) {
    const around = [...byDestination].find(([destination]) => containsMapped(destination))
    if (around === undefined || byDestination.has(allIpv4)) continue
    yield [
      { set, destination: allIpv4 },
      { action: 'exclude', policy: around[1].policy },
    ] as const
  }
}

function* flatten<V>(sets: ReadonlyMap<bigint, ReadonlyMap<Prefix, V>>) {
  for (const [set, byDestination] of sets)
    for (const [destination, value] of byDestination) yield [{ set, destination }, value] as const
}
