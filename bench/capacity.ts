import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { parseArgs, styleText } from 'node:util'
import { startLab, stopLab } from '../src/lab/lab.ts'
import { loadLab, requireLab } from '../src/lab/lab-state.ts'
import { repository } from '../src/lab/layout.ts'
import { enterCommand, run } from '../src/lab/machines/machine.ts'
import { missingForLab } from '../src/lab/requirements.ts'
import { runLoad, takeCount } from './measure.ts'
import { compileTools, median } from './tools.ts'
import { enterOnlyPod, installForGateway, startOutpost, typeIn, type Way } from './ways.ts'

/**
 * Measures what one CPU of a gateway can forward, for one to four source nodes. All machines share this machine's CPUs, so the last CPU is
 * left to the gateway: its device hands received packets to that CPU (receive packet steering), and all other devices, the pods and the
 * server use the first. The first CPU is full before the last one is. So the figure is the rate, divided by the part of the last CPU that
 * was busy more than at rest. What the gateway sends is forwarded by the CPU that has received it.
 */
const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '3' },
    sources: { type: 'string', default: '1,2,4' },
    out: { type: 'string', default: join(repository, 'bench/capacity.json') },
  },
})
const seconds = Number(options.seconds)
const sizes = options.sources.split(',').map(Number)
const name = 'bench-capacity'
const firstCpu = ['taskset', '-c', '0'] as const
const cpus = readFileSync('/proc/cpuinfo', 'utf8').match(/^processor/gm)?.length ?? 1
const gatewayCpu = cpus - 1

interface CapacityFigure {
  readonly name: string
  readonly unit: string
  readonly path: 'auto' | 'tunnel'
  readonly sources: number
  /** What the gateway forwarded in a second, and what one of its CPUs could. */
  readonly rate: number
  readonly perGatewayCpu: number
}

const print = (text: string): void => void process.stdout.write(`${text}\n`)
const nodes = Array.from({ length: Math.max(...sizes) }, (_, index) => `source-${index + 1}`)

async function setUp(path: CapacityFigure['path']): Promise<void> {
  if (loadLab(name) !== undefined) await stopLab(name)
  const node = (part: string, lastOctet: number) => ({
    ...{ name: part, lastOctet, podCIDRs: [`10.244.${lastOctet}.0/24`], isControlPlane: false },
  })
  await startLab({
    name,
    nodes: [node('gateway', 2), ...nodes.map((source, index) => node(source, 10 + index))],
  })
  await installForGateway(name, ` --set egressGateway.egressPath=${path}`)
  for (const source of nodes)
    await typeIn(
      name,
      `kubectl run ${source} --labels org=alliance --image docker.io/tgraf/netperf --overrides '{"spec":{"nodeName":"${source}"}}'`,
    )
  const pods = nodes.map((source) => `pod/${source}`).join(' ')
  await typeIn(name, `kubectl wait --for=condition=Ready ${pods} --timeout=60s`)
  await startOutpost(name, firstCpu)
  steer()
  /* The first probes by the link must have been answered. */
  await setTimeout(3_000)
}

/** Sets the CPUs, one bit for each, of all devices of each machine. The files of devices are those of the namespace that mounted /sys. */
function steer(): void {
  const { host, nodes: machines, containers } = requireLab(name)
  const all = [host, ...containers.map(({ machine }) => machine), ...machines.map(({ machine }) => machine)]
  const gateway = machines.find((each) => each.name === 'gateway')?.machine
  for (const machine of all) {
    if (machine === undefined) continue
    const mask = (machine === gateway ? 1 << gatewayCpu : 1).toString(16)
    const script = `mount -t sysfs none /sys; for queue in /sys/class/net/*/queues/rx-0; do echo ${mask} > $queue/rps_cpus; done`
    const [command = '', ...words] = enterCommand(
      machine.init.pid,
      ['net'],
      ['unshare', '--mount', 'sh', '-ec', script],
    )
    run(command, words)
  }
}

/** The time that the gateway's CPU has handled packets since the machine started, in seconds: its soft interrupts. */
function busySeconds(): number {
  const line = readFileSync('/proc/stat', 'utf8').split('\n')[gatewayCpu + 1] ?? ''
  const [, , , , , , , softirq = 0] = line.split(/\s+/).map(Number)
  return softirq / 100
}

/** The pod of a node, whose programs run on the first CPU. */
function podOf(source: string): Pick<Way, 'inPod'> {
  const enter = enterOnlyPod(name, source)
  return { inPod: (words) => enter([...firstCpu, ...words]) }
}

/** Runs the load generator in the pods of the first `count` nodes at the same time. */
const load = <T>(count: number, words: readonly string[]): Promise<readonly T[]> =>
  Promise.all(nodes.slice(0, count).map((source) => runLoad<T>(podOf(source), words)))

const packets = async (count: number): Promise<number> => {
  const counter = podOf('source-1')
  await takeCount(counter)
  await load(count, ['udp', String(seconds)])
  return (await takeCount(counter)) / seconds
}

const connections = async (count: number): Promise<number> => {
  const concurrency = String(32 / count)
  const rates = await load<{ readonly perSecond: number }>(count, ['crr', String(seconds), concurrency])
  return rates.reduce((sum, { perSecond }) => sum + perSecond, 0)
}

const loads = [
  { what: 'small UDP packets', generate: packets },
  { what: 'new connections', generate: connections },
] as const

/** The part of the gateway's CPU that handles other packets: probes, and what else this machine does. */
async function restShare(): Promise<number> {
  const from = busySeconds()
  await setTimeout(seconds * 1_000)
  return (busySeconds() - from) / seconds
}

async function measure(path: CapacityFigure['path']): Promise<readonly CapacityFigure[]> {
  print(styleText('bold', `Setting up a gateway and ${nodes.length} source nodes, egressPath=${path} …`))
  await setUp(path)
  const samples = new Map<string, { rate: number; perGatewayCpu: number }[]>()
  for (let round = 1; round <= Number(options.rounds); round++) {
    print(`  round ${round} of ${options.rounds}`)
    for (const count of sizes)
      for (const { what, generate } of loads) {
        const rest = await restShare()
        const [busyFrom, from] = [busySeconds(), performance.now()]
        const rate = await generate(count)
        const took = (performance.now() - from) / 1_000
        /* The generators take a moment to start, so the rate is over the time that they ran, and the load over all of it. */
        const busy = (busySeconds() - busyFrom - rest * took) / seconds
        const key = `${what} ${count}`
        samples.set(key, [...(samples.get(key) ?? []), { rate, perGatewayCpu: rate / busy }])
      }
  }
  return sizes.flatMap((count) =>
    loads.map(({ what }): CapacityFigure => {
      const found = samples.get(`${what} ${count}`) ?? []
      const rate = median(found.map((each) => each.rate))
      const perGatewayCpu = median(found.map((each) => each.perGatewayCpu))
      return { name: what, unit: '1/s', path, sources: count, rate, perGatewayCpu }
    }),
  )
}

async function main(): Promise<void> {
  const missing = [...missingForLab(), ...(cpus < 2 ? ['a second CPU'] : [])]
  if (missing.length > 0) throw new Error(`the benchmark needs ${missing.join(', ')}`)
  compileTools()
  const figures: CapacityFigure[] = []
  try {
    for (const path of ['auto', 'tunnel'] as const) figures.push(...(await measure(path)))
  } finally {
    if (loadLab(name) !== undefined) await stopLab(name)
  }
  print('')
  print(`${'figure'.padEnd(20)}${'path'.padEnd(8)}sources   rate, 1/s   per CPU of the gateway, 1/s`)
  const whole = (value: number): string => Math.round(value).toLocaleString('en-US')
  for (const { name: what, path, sources, rate, perGatewayCpu } of figures)
    print(
      `${what.padEnd(20)}${path.padEnd(8)}${String(sources).padStart(7)}${whole(rate).padStart(12)}${whole(perGatewayCpu).padStart(30)}`,
    )
  const command = `node bench/capacity.ts --rounds ${options.rounds} --seconds ${options.seconds} --sources ${options.sources}`
  writeFileSync(options.out, `${JSON.stringify({ command, cpus, figures }, null, 2)}\n`)
  print(`\nWritten: ${options.out}. Made by: ${command}`)
}

await main()
