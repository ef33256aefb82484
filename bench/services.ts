import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs, styleText } from 'node:util'
import { startLab, stopLab } from '../src/lab/lab.ts'
import { loadLab, requireLab } from '../src/lab/lab-state.ts'
import { repository } from '../src/lab/layout.ts'
import { runInside } from '../src/lab/machines/host.ts'
import { enterCommand } from '../src/lab/machines/machine.ts'
import { missingForLab } from '../src/lab/requirements.ts'
import { exec } from '../src/lab/shell.ts'
import { capture } from '../test/support/hold-program.ts'
import { proxyRules } from './proxy-rules.ts'
import { measureServicePrograms } from './service-programs.ts'
import { compileTools, loadBinary, median } from './tools.ts'

/*
 * What it costs to reach a pod of another node by a Service instead of by its own address, without kube-proxy and beside its rules. Two
 * clusters stand on one machine, and take turns.
 */
const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '2' },
    /* Measures only the programs. */
    programs: { type: 'boolean', default: false },
    out: { type: 'string', default: join(repository, 'bench/services.json') },
  },
})

const services = 100
const clusterIp = (index: number): string => `10.96.7.${index + 1}`
const port = 9000
const nodes = { client: 2, server: 4 } as const

type Target = 'the pod’s own address' | 'a Service, Sallyport' | 'a Service, kube-proxy’s rules'

interface Cluster {
  readonly targets: readonly { readonly name: Target; readonly host: string; readonly port: number }[]
  readonly inPod: (words: readonly string[]) => readonly string[]
  readonly name: string
}

const print = (text = ''): void => void process.stdout.write(`${text}\n`)

async function setUp(name: string, replaces: boolean): Promise<Cluster> {
  if (loadLab(name) !== undefined) await stopLab(name)
  await startLab({
    name,
    nodes: Object.entries(nodes).map(([node, lastOctet]) => ({
      name: node,
      lastOctet,
      podCIDRs: [`10.244.${lastOctet}.0/24`],
      isControlPlane: false,
    })),
  })
  const type = async (command: string): Promise<string> => {
    const { code, output } = await exec(requireLab(name), ['bash', '-c', command])
    if (code !== 0) throw new Error(`${command}: ${output}`)
    return output.trim()
  }
  const pod = (of: string, command = ''): string =>
    `kubectl run ${of} --image busybox --overrides '{"spec":{"nodeName":"${of}"}}' ${command}`
  await type(
    `cilium install --set operator.replicas=1 --set kubeProxyReplacement=${replaces ? 'strict' : 'false'} && cilium status --wait`,
  )
  await type(
    `${pod('client', '--command -- sleep 100000')} && ${pod('server', `--command -- ${loadBinary} serve ${port}`)}`,
  )
  await type('kubectl wait --for=condition=Ready pod/client pod/server --timeout=60s')
  const server = await type('kubectl get pod server -o jsonpath={.status.podIP}')
  if (replaces)
    await type(
      `kubectl apply -f - <<'END' >/dev/null\n${Array.from({ length: services }, (_, index) => objects(index, server)).join('')}\nEND`,
    )
  else {
    const rules = proxyRules(
      Array.from({ length: services }, (_, index) => ({
        address: clusterIp(index),
        endpoint: server,
        port,
      })),
    )
    for (const node of Object.keys(nodes)) await type(`docker exec ${node} nft -f - <<'END'\n${rules}\nEND`)
  }
  const machine = requireLab(name).nodes[0]?.machine
  if (machine === undefined) throw new Error('the client’s node is gone')
  const netns = runInside(machine, ['sh', '-c', 'ls /run/netns']).trim()
  const own = { name: 'the pod’s own address', host: server, port } as const
  return {
    name,
    targets: replaces
      ? [own, { name: 'a Service, Sallyport', host: clusterIp(0), port: 80 }]
      : [{ name: 'a Service, kube-proxy’s rules', host: clusterIp(0), port: 80 }],
    inPod: (words) =>
      enterCommand(
        machine.init.pid,
        ['mount', 'net'],
        ['nsenter', `--net=/run/netns/${netns}`, '--', ...words],
      ),
  }
}

const objects = (index: number, endpoint: string): string => `---
apiVersion: v1
kind: Service
metadata: {name: s${index}}
spec: {clusterIP: ${clusterIp(index)}, ports: [{name: web, port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: s${index}-1, labels: {kubernetes.io/service-name: s${index}}}
addressType: IPv4
ports: [{name: web, port: ${port}, protocol: TCP}]
endpoints: [{addresses: [${endpoint}]}]
`

const measurements = [
  ['requests on one connection, 1/s', 'rr', [], 'perSecond'],
  ['new connections one at a time, 1/s', 'crr', ['1'], 'perSecond'],
  ['new connections 32 at a time, 1/s', 'crr', ['32'], 'perSecond'],
  ['bulk TCP, Gbit/s', 'bulk', ['out'], 'gbitPerSecond'],
] as const

async function measure(clusters: readonly Cluster[]): Promise<Map<string, Map<Target, number[]>>> {
  const taken = new Map(measurements.map(([title]) => [title as string, new Map<Target, number[]>()]))
  for (let round = 1; round <= Number(options.rounds); round++) {
    print(`Round ${round} of ${options.rounds}`)
    const turn = clusters.flatMap(({ inPod, targets }) => targets.map((target) => ({ inPod, ...target })))
    for (const [title, verb, words, field] of measurements)
      for (const { inPod, name, host, port: at } of round % 2 === 0 ? turn.toReversed() : turn) {
        const command = inPod([loadBinary, verb, host, String(at), options.seconds, ...words])
        const value = (JSON.parse(await capture(command)) as Record<string, number>)[field] ?? 0
        const byTarget = taken.get(title)
        byTarget?.set(name, [...(byTarget.get(name) ?? []), value])
      }
  }
  return taken
}

/** Of each round, then the median, because the machine's speed changes from minute to minute. */
function ratio(ours: readonly number[] = [], theirs: readonly number[] = []): number {
  return Number(median(ours.map((value, round) => value / (theirs[round] ?? value))).toFixed(2))
}

async function compareWays(): Promise<readonly object[]> {
  const missing = missingForLab()
  if (missing.length > 0) throw new Error(missing.join('; '))
  const clusters: Cluster[] = []
  try {
    for (const [name, replaces] of [['bench-services', true], ['bench-proxy', false]] as const)
      clusters.push(await setUp(name, replaces)) // biome-ignore format: short
    const manyConnections = `echo 1 >/proc/sys/net/ipv4/tcp_tw_reuse; echo '1024 65535' >/proc/sys/net/ipv4/ip_local_port_range`
    for (const { inPod } of clusters) await capture(inPod(['sh', '-ec', manyConnections]))
    const taken = await measure(clusters)
    return [...taken].map(([name, of]) => {
      const ours = of.get('a Service, Sallyport')
      return {
        name,
        ...Object.fromEntries([...of].map(([target, values]) => [target, Number(median(values).toFixed(1))])),
        'compared with the pod’s own address': ratio(ours, of.get('the pod’s own address')),
        'compared with kube-proxy’s rules': ratio(ours, of.get('a Service, kube-proxy’s rules')),
      }
    })
  } finally {
    for (const name of ['bench-services', 'bench-proxy']) if (loadLab(name) !== undefined) await stopLab(name)
  }
}

compileTools()
print(styleText('dim', 'Programs, by test runs'))
const programs = await measureServicePrograms([10, 1_000, 10_000])
for (const row of programs) print(JSON.stringify(row))
if (!options.programs) {
  const ways = await compareWays()
  for (const row of ways) print(JSON.stringify(row, null, 1))
  writeFileSync(options.out, `${JSON.stringify({ ways, programs }, null, 2)}\n`)
  print(`Made by: node bench/services.ts --rounds ${options.rounds} --seconds ${options.seconds}`)
}
process.exit()
