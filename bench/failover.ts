import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { parseArgs, styleText } from 'node:util'
import { repository } from '../src/lab/layout.ts'
import { enterCommand } from '../src/lab/machine.ts'
import { missingForLab } from '../src/lab/requirements.ts'
import { type Cluster, type Death, deaths, leaveAlone, ports, setUpCluster } from './deaths.ts'
import { drawTimelines, type Timeline } from './timeline.ts'
import { capture, compileTools, holdBinary } from './tools.ts'

/**
 * Many live connections through one gateway, and how it dies: what breaks, what stalls, and what new connections notice.
 * Times are of one clock, which all namespaces of a machine share.
 */
const { values: options } = parseArgs({
  options: {
    connections: { type: 'string', default: '10000' },
    senders: { type: 'string', default: '100' },
    seconds: { type: 'string', default: '12' },
    ways: { type: 'string', default: '' },
    out: { type: 'string', default: join(repository, 'bench') },
  },
})

const dieAfterMs = 3_000
const outpostAddress = '172.18.0.7'
const allowed = ['172.18.0.42', '172.18.0.43']
const lab = 'failover'

interface Held {
  readonly connections: number
  readonly notOpened: number
  readonly broken: number
  readonly started: number
  readonly stallMs: { readonly p50: number; readonly p99: number; readonly max: number }
  readonly newFlows: number
  readonly newFlowsDisturbed: number
  readonly newFlowsDisturbedMs: number
  readonly newFlowsFailed: number
}

interface Seen {
  readonly from: number
  readonly sources: Readonly<Record<string, number>>
  /** Packets per 10 ms by the MAC that they came from. */
  readonly macs: Readonly<Record<string, readonly number[]>>
}

export interface Failover {
  readonly way: string
  readonly connections: number
  readonly broken: number
  readonly stallMs: Held['stallMs']
  readonly newFlowsDisturbedMs: number
  readonly newFlowsFailed: number
  readonly wrongSource: number
}

const print = (text = ''): void => void process.stdout.write(`${text}\n`)

/** What the outpost tells on a port beside its own. */
async function ask(cluster: Cluster, port: number): Promise<string> {
  const script = `exec 3<>/dev/tcp/127.0.0.1/${port}; cat <&3`
  const outpost = cluster.state.containers.find(({ name }) => name === 'outpost')
  if (outpost === undefined) throw new Error('the outpost is gone')
  return capture(enterCommand(outpost.machine.init.pid, ['net'], ['bash', '-c', script]))
}

/** Runs the client in the pod; the death happens a while after all connections are open. */
async function hold(cluster: Cluster, death: Death): Promise<{ held: Held; diedMs: number }> {
  const words = cluster.inPod([
    holdBinary, 'run', outpostAddress, String(ports.base), String(ports.count),
    options.connections, options.senders, options.seconds,
  ]) // biome-ignore format: one command
  const [command = '', ...rest] = words
  const child = spawn(command, rest, { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  const ended = new Promise<void>((resolve, reject) =>
    child.on('close', (code) =>
      code === 0 ? resolve() : reject(new Error(`the client ended with ${code}`)),
    ),
  )
  await new Promise<void>((resolve) => {
    child.stdout.on('data', (chunk) => {
      output += chunk
      if (output.includes('ready')) resolve()
    })
    child.on('close', () => resolve())
  })
  await ask(cluster, ports.base - 2)
  await setTimeout(dieAfterMs)
  const diedMs = Number(process.hrtime.bigint() / 1_000_000n)
  await death.happen(cluster)
  await ended
  const line = output.split('\n').find((each) => each.startsWith('{')) ?? '{}'
  return { held: JSON.parse(line) as Held, diedMs }
}

async function measure(death: Death): Promise<{ result: Failover; timeline: Timeline; held: Held }> {
  const cluster = await setUpCluster(lab)
  try {
    if (death.isAlone) await leaveAlone(cluster)
    const { held, diedMs } = await hold(cluster, death)
    const seen = JSON.parse(await ask(cluster, ports.base - 1)) as Seen
    const wrongSource = Object.entries(seen.sources)
      .filter(([address]) => !allowed.includes(address))
      .reduce((sum, [, count]) => sum + count, 0)
    const result = {
      way: death.way,
      connections: held.connections - held.notOpened,
      broken: held.broken,
      stallMs: held.stallMs,
      newFlowsDisturbedMs: held.newFlowsDisturbedMs,
      newFlowsFailed: held.newFlowsFailed,
      wrongSource,
    }
    return {
      result,
      held,
      timeline: { way: death.way, diedAtMs: diedMs - seen.from, lanes: Object.values(seen.macs) },
    }
  } finally {
    await cluster.remove()
  }
}

function printResult({ result, held }: { readonly result: Failover; readonly held: Held }): void {
  const { stallMs } = result
  print(
    `  ${result.broken} of ${result.connections} broken, stall p50/p99/max ${stallMs.p50}/${stallMs.p99}/${stallMs.max} ms; ` +
      `of ${held.newFlows} new ones ${held.newFlowsFailed} failed, ${held.newFlowsDisturbed} were slow within ${held.newFlowsDisturbedMs} ms; ` +
      `${result.wrongSource} from another address`,
  )
}

async function run(): Promise<void> {
  const missing = missingForLab()
  if (missing.length > 0) throw new Error(missing.join('; '))
  compileTools()
  const results: Failover[] = []
  const timelines: Timeline[] = []
  for (const death of deaths.filter(({ way }) => way.includes(options.ways))) {
    print(styleText('bold', death.way))
    const { result, timeline, held } = await measure(death)
    printResult({ result, held })
    results.push(result)
    timelines.push(timeline)
  }
  writeFileSync(join(options.out, 'failover.json'), `${JSON.stringify(results, null, 2)}\n`)
  writeFileSync(join(options.out, 'failover.svg'), drawTimelines(timelines))
  print(
    `\nWritten: ${join(options.out, 'failover.json')} and failover.svg. Made by: node bench/failover.ts --connections ${options.connections} --senders ${options.senders} --seconds ${options.seconds}`,
  )
}

try {
  await run()
} catch (error) {
  print(error instanceof Error ? error.message : String(error))
  process.exitCode = 1
}
