import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { getPinned } from '../../src/datapath/bpf-syscall.ts'
import { defaultObjectFile } from '../../src/datapath/datapath.ts'
import { readBtf } from '../../src/datapath/layout/btf.ts'
import { lookup, type RawMap } from '../../src/datapath/maps/maps.ts'
import { tableCodecs } from '../../src/datapath/tables/table-codecs.ts'
import { KubeClient } from '../../src/kube/client.ts'
import { coreResource } from '../../src/kube/cluster-objects.ts'
import { parseAddress } from '../../src/net/address.ts'
import { crowdOf, egressNodes, gather, gatherPods, policies, rollOut } from './crowd.ts'

/**
 * Runs in the network of the lab's control plane. It creates the cluster's objects, changes some of them, and measures how
 * long the tables take to follow.
 */
const { values: options } = parseArgs({
  options: {
    server: { type: 'string', default: '' },
    ca: { type: 'string', default: '' },
    token: { type: 'string', default: '' },
    nodes: { type: 'string', default: '10' },
    'agent-pid': { type: 'string', default: '' },
    'operator-pid': { type: 'string', default: '' },
    pod: { type: 'string', default: '' },
    'pod-ip': { type: 'string', default: '' },
    'gateway-ip': { type: 'string', default: '' },
    rounds: { type: 'string', default: '100' },
    'rest-seconds': { type: 'string', default: '60' },
  },
})

const client = new KubeClient(
  { server: options.server, ca: readFileSync(options.ca, 'utf8'), token: () => options.token },
  { userAgent: 'bench' },
)
const tell = (line: string): void => void process.stderr.write(`    ${line}\n`)

const codecs = tableCodecs(readBtf(defaultObjectFile))

/** Reads the bytes of an entry of one of the agent's tables as text, from the pin in the agent's mount namespace. */
function entryOf(name: 'pods' | 'egress_ips', address: string): () => string | undefined {
  const directory = `/proc/${options['agent-pid']}/root/sys/fs/bpf/sallyport/maps`
  const pin = readdirSync(directory).find((each) => each.startsWith(`${name}-`)) ?? ''
  const { key, value } = codecs[name]
  const fd = getPinned(`${directory}/${pin}`)
  const table: RawMap = { name, fd, keySize: key.size, valueSize: value.size, maxEntries: 0 }
  const keyBytes = key.encode(parseAddress(address)!)
  return () => lookup(table, keyBytes)?.toString('latin1')
}

/**
 * The time in ms from the API server's answer to a change, or from before the change, until the entry in the kernel's table
 * is another.
 */
async function until(entry: () => string | undefined, change: () => Promise<unknown>): Promise<number> {
  const before = entry()
  const from = performance.now()
  const changed = change()
  while (entry() === before) {
    if (performance.now() - from > 20_000) throw new Error('nothing has come of a change within 20 s')
    await setTimeout(1)
  }
  const took = performance.now() - from
  await changed
  return took
}

interface Process {
  readonly rssMb: number
  readonly cpuMs: number
}

function look(pid: string): Process {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ')
  return {
    rssMb: Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024,
    cpuMs: (Number(fields[11]) + Number(fields[12])) * 10,
  }
}

const quantile = (values: readonly number[], q: number): number =>
  values.toSorted((a, b) => a - b)[Math.ceil(values.length * q) - 1] ?? 0

const nodes = Number(options.nodes)
const crowd = crowdOf(nodes)
const results: { name: string; unit: string; nodes: number; value: number }[] = []
const note = (name: string, unit: string, value: number): void =>
  void results.push({ name, unit, nodes, value: Math.round(value * 100) / 100 })

const who = [
  { name: 'agent', pid: options['agent-pid'], user: /sallyport-agent|cilium-agent|:cilium$/ },
  { name: 'operator', pid: options['operator-pid'], user: /operator/ },
]
await gather(client, crowd, tell)
await setTimeout(5_000)
for (const { name, pid } of who) note(`${name}: memory (RSS) before the pods came`, 'MB', look(pid).rssMb)
await gatherPods(client, crowd, tell)
await setTimeout(5_000)

const requests = async (user: RegExp): Promise<{ count: number; bytes: number }> => {
  const text = (await client.json({ method: 'GET', path: '/debug/requests' })) as Record<
    string,
    { count: number; bytes: number }
  >
  const matching = Object.entries(text).filter(([name]) => user.test(name))
  return {
    count: matching.reduce((sum, [, each]) => sum + each.count, 0),
    bytes: matching.reduce((sum, [, each]) => sum + each.bytes, 0),
  }
}
const lookAtAll = () =>
  Promise.all(who.map(async ({ pid, user }) => ({ ...look(pid), ...(await requests(user)) })))
tell('at rest')
const restMs = Number(options['rest-seconds']) * 1000
const before = await lookAtAll()
await setTimeout(restMs)
const after = await lookAtAll()
for (const [index, { name }] of who.entries()) {
  const [from, to] = [before[index]!, after[index]!]
  note(`${name}: memory (RSS)`, 'MB', to.rssMb)
  note(`${name}: CPU at rest`, '% of a core', ((to.cpuMs - from.cpuMs) / restMs) * 100)
  note(`${name}: requests at rest`, '1/h', ((to.count - from.count) / restMs) * 3_600_000)
  note(
    `${name}: bytes from the API server at rest`,
    'MB/h',
    (((to.bytes - from.bytes) / restMs) * 3_600_000) / 1e6,
  )
}

const beforeRollout = await lookAtAll()
await rollOut(client, crowd, tell)
const afterRollout = await lookAtAll()
for (const [index, { name }] of who.entries()) {
  const [from, to] = [beforeRollout[index]!, afterRollout[index]!]
  note(`${name}: requests while all pods are rolled out`, '', to.count - from.count)
  note(`${name}: bytes while all pods are rolled out`, 'MB', (to.bytes - from.bytes) / 1e6)
}

tell('changes')
const pod = client.resource(coreResource('pods', true))
const node = client.resource(coreResource('nodes', false))
const policy = client.resource(policies)
const egressNode = client.resource(egressNodes)
const rounds = Array.from({ length: Number(options.rounds) }, (_, round) => round)
const ofPod = entryOf('pods', options['pod-ip'])
const ofGateway = entryOf('egress_ips', options['gateway-ip'])
const changes: readonly (readonly [string, () => string | undefined, (round: number) => Promise<unknown>])[] =
  [
    [
      'pod relabelled',
      ofPod,
      (round) =>
        pod.patch(
          options.pod,
          'merge',
          { metadata: { labels: { app: `app-${((round + 1) % 2) * 10}` } } },
          { namespace: 'default' },
        ),
    ],
    [
      'policy changed',
      ofPod,
      (round) => policy.patch('crowd-0', 'merge', { spec: { destinationCIDRs: [`198.51.${round}.0/24`] } }),
    ],
    [
      'gateway relabelled',
      ofPod,
      (round) =>
        node.patch('control', 'merge', {
          metadata: { labels: { 'crowd-gw': round % 2 === 0 ? null : '0' } },
        }),
    ],
    /* Another node demands these ports and the operator grants them, because a gateway must know the owner of each port. */
    [
      'ports leased to another node',
      ofGateway,
      (round) => {
        const demand = [{ address: options['gateway-ip'], blocks: 2 * (round + 1) }]
        return egressNode.patch('crowd-0000', 'merge', { status: { demand } }, { subresource: 'status' })
      },
    ],
  ]
for (const [name, entry, change] of changes) {
  const times: number[] = []
  if (name !== 'pod relabelled')
    await pod.patch(
      options.pod,
      'merge',
      { metadata: { labels: { app: 'app-0' } } },
      { namespace: 'default' },
    )
  await setTimeout(500)
  for (const round of rounds) {
    times.push(
      await until(entry, () => change(round)).catch((error: Error) =>
        Promise.reject(new Error(`${name}, round ${round}: ${error.message}`)),
      ),
    )
    await setTimeout(100)
  }
  note(`${name} to tables written, p50`, 'ms', quantile(times, 0.5))
  note(`${name} to tables written, p99`, 'ms', quantile(times, 0.99))
}
for (const { name, pid } of who) note(`${name}: memory (RSS) after changes`, 'MB', look(pid).rssMb)
process.stdout.write(JSON.stringify(results))
process.exit()
