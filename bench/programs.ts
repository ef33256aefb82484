import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Desired } from '../src/datapath/desired.ts'
import { readEgressRestriction } from '../src/decide/policies/network-policies.ts'
import { NetworkSets } from '../src/decide/policies/network-sets.ts'
import { type NodeUnderTest, standardTables } from '../test/packets/node-under-test.ts'
import { address, ipv4 } from '../test/packets/packet.ts'
import { fromOther, importKernel, TestRuns } from './test-runs.ts'

/**
 * The nanoseconds that each program takes for a packet. It runs in a process of its own, because it enters namespaces: with
 * `--serve FOLDER KNOB`, it answers each line of its input with figures of the version in that folder. The knob is the one
 * with which packet tests of that version simulate the tunnel.
 */
export type Figure = readonly [step: string, ns: number]

/** For a packet of an open TCP flow. */
export interface OpenFigures {
  readonly outward: readonly Figure[]
  readonly reply: readonly Figure[]
}

/** What other versions have, too. Their own modules know how their tables are laid out. */
type Version = Pick<
  typeof import('../test/packets/node-under-test.ts'),
  'openNode' | 'reset' | 'ourPorts' | 'slot2Port'
>
type Flows = Pick<typeof import('../test/packets/flows.ts'), 'established'>

const data = { flags: ['ACK', 'PSH'] as const, payload: 'x'.repeat(64) }

async function openVersion(folder: string, tunnelKnob: string) {
  const version = (await import(join(folder, 'test/packets/node-under-test.ts'))) as Version
  const { established } = (await import(join(folder, 'test/packets/flows.ts'))) as Flows
  const node = version.openNode({ [tunnelKnob]: 0 })
  await version.reset(node)
  established()(node)
  established({ egressIp: '172.18.0.43', egressPort: version.slot2Port, sourcePort: 40001 })(node)
  return { node, runs: new TestRuns(node, await importKernel(folder)), version }
}

type Opened = Awaited<ReturnType<typeof openVersion>>

function measureOpen({ node: { devices }, runs, version: { ourPorts, slot2Port } }: Opened): OpenFigures {
  const { pod7, world } = devices
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

async function serve(folder: string, tunnelKnob: string): Promise<void> {
  const opened = await openVersion(folder, tunnelKnob)
  for await (const line of createInterface({ input: process.stdin })) {
    const figures = line === 'first' ? await measureFirst(opened.node, opened.runs) : measureOpen(opened)
    process.stdout.write(`${JSON.stringify(figures)}\n`)
  }
  process.exit()
}

const [, , flag, folder, tunnelKnob] = process.argv
if (flag === '--serve' && folder !== undefined && tunnelKnob !== undefined) await serve(folder, tunnelKnob)
