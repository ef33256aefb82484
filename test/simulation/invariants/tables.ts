import { isDeepStrictEqual } from 'node:util'
import { listOwnAddresses } from '../../../src/agent/node/node-network.ts'
import { resolve } from '../../../src/decide/resolve.ts'
import type { World } from '../../../src/decide/world.ts'
import type { Address } from '../../../src/net/address.ts'
import type { Cluster } from '../cluster.ts'
import { worldOf, worldPod } from '../cluster-view.ts'
import { netlinkOf } from '../kernel-network.ts'
import type { Machine } from '../machine.ts'
import { entriesOf } from '../table-snapshots.ts'
import type { Invariant } from './invariant.ts'

/** After the faults stop, all tables equal the oracle's within a bounded time, and one node per link answers for an address. */
export function tablesConverge(cluster: Cluster): Invariant {
  return {
    name: 'after the faults stop, every table is as the API server says, and one node answers for each address',
    settled(): string | undefined {
      const world = worldOf(cluster)
      for (const machine of cluster.machines) {
        const problem = machine.isOn ? compare(cluster, world, machine) : undefined
        if (problem !== undefined) return `${machine.name}: ${problem}`
      }
      return oneHolder(cluster)
    },
  }
}

function compare(cluster: Cluster, world: World, machine: Machine): string | undefined {
  const run = cluster.agentOf(machine)
  if (run === undefined) return 'no agent runs'
  if (!run.agent.api.isReady()) return `its agent is not ready: ${run.agent.api.problems().join('; ')}`
  const { tables } = machine.programs.datapath
  const wanted = resolve({
    ...world,
    self: run.nodeName,
    lingeringOrders: new Map(
      [...entriesOf(tables.egress_ips)].map(([address, { order }]) => [address, order]),
    ),
    ownAddresses: listOwnAddresses(netlinkOf(machine.network, () => {})),
    pods: cluster.pods
      .filter((pod) => pod.machine === machine && pod.address !== undefined)
      .map((pod) => worldPod(pod, cluster)),
  })
  const sortedEntries = <K, V>(entries: Iterable<readonly [K, V]>): string[] =>
    [...entries].map((entry) => describe(entry)).sort()
  const differences: [string, readonly string[], readonly string[]][] = [
    [
      'nodes',
      sortedEntries(entriesOf(tables.nodes)),
      sortedEntries([...wanted.nodes].map(([at, { slot }]) => [at, { slot }])),
    ],
    ['groups', sortedEntries(entriesOf(tables.groups)), sortedEntries(wanted.groups)],
    ['cluster', sortedEntries(entriesOf(tables.cluster)), sortedEntries(wanted.cluster)],
    [
      'policy sets of pods',
      sortedEntries(
        [...entriesOf(tables.pods)]
          .filter(([, { isNode }]) => !isNode)
          .map(([at, { policySet, isQuarantined }]) => [at, isQuarantined ? 'quarantined' : policySet]),
      ),
      sortedEntries([...wanted.podsByIp].map(([at, { policySet }]) => [at, policySet])),
    ],
    [
      'rules',
      sortedEntries(
        [...entriesOf(tables.rules)].map(([key, rule]) => [`${key.set} ${key.destination}`, rule]),
      ),
      sortedEntries(
        [...wanted.rules].flatMap(([set, rules]) =>
          [...rules].map(([to, rule]) => [`${set} ${to}`, rule] as const),
        ),
      ),
    ],
  ]
  for (const [name, found, expected] of differences) {
    if (isDeepStrictEqual(found, expected)) continue
    const missing = expected.filter((each) => !found.includes(each))
    const extra = found.filter((each) => !expected.includes(each))
    return `its table of ${name} misses ${missing.join(', ') || 'nothing'}, and has ${extra.join(', ') || 'nothing'} besides`
  }
  return compareEgressIps(machine, wanted)
}

/** Addresses that no policy names any more stay for a while; the others are as wanted. */
function compareEgressIps(machine: Machine, wanted: ReturnType<typeof resolve>): string | undefined {
  const { tables } = machine.programs.datapath
  for (const [address, { order, blockOwner }] of wanted.egressIps) {
    const found = tables.egress_ips.get(address)
    if (found === undefined) return `it does not know egress IP ${address}`
    if (!isDeepStrictEqual([...found.order], [...order]))
      return `it takes ${found.order.join(' ')} for the order of ${address}, which is ${order.join(' ')}`
    const block = blockOwner.findIndex((owner, index) => owner !== found.blockOwner[index])
    if (block >= 0)
      return `it takes ${found.blockOwner[block]} for the owner of port ${block * 16} of ${address}, who is ${blockOwner[block]}`
  }
  return undefined
}

function oneHolder(cluster: Cluster): string | undefined {
  const addresses = new Set<Address>()
  for (const machine of cluster.machines)
    for (const { address } of machine.network.addresses)
      if (address.startsWith('172.18.')) addresses.add(address)
  for (const address of addresses) {
    const holders = cluster.network.router.holders(address)
    if (holders.length > 1) return `${holders.map(({ name }) => name).join(' and ')} answer for ${address}`
  }
  return undefined
}

function describe(value: unknown): string {
  return JSON.stringify(value, (_key, each) =>
    typeof each === 'bigint' ? each.toString(16) : each instanceof Map ? [...each] : (each ?? 'none'),
  )
}
