import type { Desired } from '../src/datapath/desired.ts'
import { readEgressRestriction } from '../src/decide/policies/network-policies.ts'
import { NetworkSets } from '../src/decide/policies/network-sets.ts'
import { established } from '../test/packets/flows.ts'
import {
  type NodeUnderTest,
  openNode,
  ourPorts,
  reset,
  slot2Port,
  standardTables,
} from '../test/packets/node-under-test.ts'
import { address, ipv4 } from '../test/packets/packet.ts'
import { fromOther, TestRuns } from './test-runs.ts'

/**
 * Prints the nanoseconds that each program takes for a packet. It runs in a process of its own, because it enters namespaces.
 * Other versions have this file, too, and print at least `outward` and `reply`.
 */
export interface ProgramFigures {
  /** For a packet of an open TCP flow. */
  readonly outward: readonly Figure[]
  readonly reply: readonly Figure[]
  /** For the first packet of a flow. Undefined in versions that did not measure it. */
  readonly first?: readonly Figure[]
}

export type Figure = readonly [step: string, ns: number]

const data = { flags: ['ACK', 'PSH'] as const, payload: 'x'.repeat(64) }

async function measure(): Promise<ProgramFigures> {
  const node = openNode({ simulated_tunnel: 0 })
  using runs = new TestRuns(node)
  await reset(node)
  established()(node)
  established({ egressIp: '172.18.0.43', egressPort: slot2Port, sourcePort: 40001 })(node)
  return { ...measureOpen(node, runs), first: await measureFirst(node, runs) }
}

function measureOpen(
  { devices: { pod7, world } }: NodeUnderTest,
  runs: TestRuns,
): Pick<ProgramFigures, 'outward' | 'reply'> {
  const fromPod = ipv4('10.244.1.7', '203.0.113.9').tcp(40000, 443, data)
  const translated = ipv4('172.18.0.43', '203.0.113.9').tcp(slot2Port, 443, data)
  const answer = ipv4('203.0.113.9', '172.18.0.43').tcp(443, slot2Port, data)
  const forPod = ipv4('203.0.113.9', '172.18.0.42').tcp(443, ourPorts.first, data)
  return {
    outward: [
      ['from_pod, source node', runs.repeated('from_pod', fromPod, { ifindex: pod7 })],
      ['from_overlay, gateway', runs.repeated('from_overlay', translated, { ifindex: world, tunnel: fromOther(2) })],
    ],
    reply: [
      ['from_world, gateway', runs.repeated('from_world', answer, { ifindex: world })],
      ['from_overlay, source node', runs.repeated('from_overlay', forPod, { ifindex: world, tunnel: fromOther(3) })],
    ],
  } // biome-ignore format: a table
}

const flows = 4_000
const [free, restricted] = ['10.244.1.7', '10.244.1.6'] as const

/** With so many ports that few tries find one taken. */
async function measureFirst(node: NodeUnderTest, runs: TestRuns): Promise<Figure[]> {
  const sets = new NetworkSets()
  await node.datapath.apply(withNetworkPolicy(standardTables(node), sets))
  const packetsOf = (pod: string): Buffer[] =>
    Array.from({ length: flows }, (_, index) =>
      ipv4(pod, '203.0.113.9').tcp(20_000 + index, 443, { flags: ['SYN'] }),
    )
  const [without = 0, withRules = 0] = runs.firsts(node.devices.pod7, [
    packetsOf(free),
    packetsOf(restricted),
  ])
  return [
    ['first packet of a flow, from_pod', without],
    ['first packet of a flow, pod with NetworkPolicies', withRules],
  ]
}

/** A second pod on the same device. A NetworkPolicy allows it some ports of the destination. */
function withNetworkPolicy(tables: Desired, sets: NetworkSets): Desired {
  const restriction = readEgressRestriction(
    { namespace: 'default', name: 'partner' },
    {
      policyTypes: ['Egress'],
      egress: [{ to: [{ ipBlock: { cidr: '203.0.113.0/24' } }], ports: [{ port: 80 }, { port: 443 }] }],
    },
  )
  const { id } = sets.setOf(restriction === undefined ? [] : [restriction])
  const pod = tables.pods.get(address(free))
  if (pod === undefined || id === 0n) throw new Error('the NetworkPolicy restricts nothing')
  const blocks = Array.from({ length: 2048 }, (_, block) => 2048 + block)
  return {
    ...tables,
    ...sets.tables,
    pools: tables.pools.map((pool) => (pool.purpose === 'egress' ? { ...pool, blocks } : pool)),
    pods: new Map([...tables.pods, [address(restricted), { ...pod, networkSet: id }]]),
  }
}

if (process.argv[2] === '--measure') {
  process.stdout.write(`${JSON.stringify(await measure())}\n`)
  process.exit()
}
