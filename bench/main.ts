import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs, styleText } from 'node:util'
import { repository } from '../src/lab/layout.ts'
import { missingForLab } from '../src/lab/requirements.ts'
import { capture } from '../test/support/hold-program.ts'
import { comparePrograms, percentMore, programResults } from './earlier.ts'
import { endurance, type Measurement, measurements, type Sample } from './measure.ts'
import { drawResults, format, loneResult, type Result } from './picture.ts'
import { compileTools, median, ratioOf } from './tools.ts'
import {
  setUpClassic,
  setUpDirect,
  setUpHop,
  setUpSallyport,
  setUpStack,
  setUpTunnel,
  type Way,
} from './ways.ts'

/**
 * Measures all ways in one run on one machine, one after another, because absolute figures of a shared machine say little.
 */
const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '3' },
    endurance: { type: 'string', default: '60' },
    /* Default: here. With --only or --programs, the figures are only printed by default. */
    out: { type: 'string' },
    /* Runs only measurements with one of these texts in their titles, separated by |. */
    only: { type: 'string' },
    /* Measures no ways, only programs. */
    programs: { type: 'boolean', default: false },
  },
})

/** Targets for all programs of a path together, in nanoseconds: half of what another eBPF gateway takes. */
const aims = { outward: 990, reply: 745 } as const

/** A client that opens ten thousand connections a second runs out of its own ports long before a gateway does. */
const manyConnections = `echo 1 >/proc/sys/net/ipv4/tcp_tw_reuse; echo '1024 65535' >/proc/sys/net/ipv4/ip_local_port_range`

const print = (text = ''): void => void process.stdout.write(`${text}\n`)
const samples = new Map<string, { sample: Sample; command: string; byWay: Map<string, number[]> }>()

function note(way: Way, command: string, taken: readonly Sample[]): void {
  for (const sample of taken) {
    const entry = samples.get(sample.name) ?? { sample, command, byWay: new Map<string, number[]>() }
    samples.set(sample.name, entry)
    entry.byWay.set(way.name, [...(entry.byWay.get(way.name) ?? []), sample.value])
  }
}

async function measureAll(ways: readonly Way[], list: readonly Measurement[]): Promise<void> {
  for (const { title, command, run, concernsStack = false } of list) {
    print(styleText('dim', `  ${title}: ${command}`))
    for (const way of ways) if (way.name !== 'stack' || concernsStack) note(way, command, await run(way))
  }
}

function toResult({ sample, byWay }: { sample: Sample; byWay: ReadonlyMap<string, number[]> }): Result {
  const of = (name: string): number | null => {
    const values = byWay.get(name)
    return values === undefined ? null : median(values)
  }
  return {
    name: sample.name,
    unit: sample.unit,
    sallyport: of('sallyport') ?? 0,
    classic: of('classic'),
    direct: of('direct'),
    ratio: ratioOf(sample.better, byWay.get('sallyport') ?? [], byWay.get('classic') ?? []),
    tunnel: of('tunnel'),
    tunnelRatio: ratioOf(sample.better, byWay.get('tunnel') ?? [], byWay.get('classic') ?? []),
    hop: of('hop'),
    overHop: ratioOf(sample.better, byWay.get('sallyport') ?? [], byWay.get('hop') ?? []),
  }
}

/** What it costs if the gateway's stack forwards the packets. The change is the median of those of each round. */
function stackResults({ sample, byWay }: { sample: Sample; byWay: ReadonlyMap<string, number[]> }): Result[] {
  const [fast = [], stack] = [byWay.get('sallyport'), byWay.get('stack')]
  if (stack === undefined) return []
  const more = median(stack.map((value, round) => percentMore(value, fast[round] ?? value)))
  return [
    loneResult(`${sample.name}, stack`, sample.unit, median(stack)),
    loneResult(`${sample.name}, stack compared with fast`, '%', more),
  ]
}

function printResults(results: readonly Result[]): void {
  const cell = (value: number | null): string => (value === null ? '–' : format(value))
  print(
    `\n${'figure'.padEnd(60)}${'direct'.padStart(11)}${'classic'.padStart(11)}${'Sallyport'.padStart(11)}${'ratio'.padStart(8)}${'tunnel'.padStart(11)}${'ratio'.padStart(8)}${'hop'.padStart(11)}${'to hop'.padStart(8)}`,
  )
  const times = (value: number | null | undefined): string => (value?.toFixed(2) ?? '').padStart(8)
  for (const {
    name,
    unit,
    direct,
    classic,
    sallyport,
    ratio,
    tunnel,
    tunnelRatio,
    hop,
    overHop,
  } of results) {
    const cells = [direct, classic, sallyport].map((value) => cell(value).padStart(11)).join('')
    const other = (value: number | null | undefined): string =>
      (value === undefined ? '' : cell(value)).padStart(11)
    print(
      `${`${name}, ${unit}`.padEnd(60)}${cells}${times(ratio)}${other(tunnel)}${times(tunnelRatio)}${other(hop)}${times(overHop)}`.trimEnd(),
    )
  }
  print(
    '\nThe ratio is Sallyport’s advantage over the classic gateway: above 1 is better, also for latencies and CPU. After it: egressPath=tunnel compared with classic, and Sallyport compared with hop.',
  )
}

function report(results: readonly Result[], folder = options.out): void {
  printResults(results)
  if (folder === undefined) return
  writeFileSync(join(folder, 'results.json'), `${JSON.stringify(results, null, 2)}\n`)
  writeFileSync(join(folder, 'results.svg'), drawResults(results))
  print(`\nWritten: ${join(folder, 'results.json')} and results.svg.`)
}

async function run(): Promise<void> {
  const missing = missingForLab()
  if (options.programs) {
    compileTools()
    return report(programResults(await comparePrograms(), aims))
  }
  if (missing.length > 0) throw new Error(missing.join('; '))
  const [rounds, seconds, long] = [Number(options.rounds), Number(options.seconds), Number(options.endurance)]
  const chosen = measurements(seconds).filter(({ title }) =>
    (options.only ?? '').split('|').some((text) => title.includes(text)),
  )
  if (chosen.length === 0) throw new Error(`nothing to measure has "${options.only}" in its title`)
  const ways: Way[] = []
  let isOver = false
  const removeAll = async (): Promise<void> => {
    isOver = true
    for (const way of ways.splice(0)) await way.remove()
  }
  process.once('SIGINT', () => void removeAll().then(() => process.exit(130)))
  try {
    print('Compiling the load generator, and setting up six ways out …')
    compileTools()
    for (const setUp of [setUpDirect, setUpClassic, setUpHop, setUpSallyport, setUpTunnel, setUpStack])
      ways.push(await setUp())
    for (const way of ways) await capture(way.inPod(['sh', '-ec', manyConnections]))
    for (let round = 1; round <= rounds && !isOver; round++) {
      print(`Round ${round} of ${rounds}`)
      await measureAll(round % 2 === 0 ? [...ways].reverse() : ways, chosen)
    }
    if (long > 0 && options.only === undefined) await measureAll(ways, [endurance(long)])
  } finally {
    await removeAll()
  }
  const measured = [...samples.values()]
  const ofWays = [...measured.map(toResult), ...measured.flatMap(stackResults)]
  if (options.only !== undefined) return report(ofWays)
  print(styleText('dim', '  programs: BPF_PROG_TEST_RUN, and those of an earlier version'))
  const results = [...ofWays, ...programResults(await comparePrograms(), aims)]
  report(results, options.out ?? join(repository, 'bench'))
  print(
    `Made by: make bench (node bench/main.ts --rounds ${rounds} --seconds ${seconds} --endurance ${long})`,
  )
}

try {
  await run()
} catch (error) {
  print(error instanceof Error ? error.message : String(error))
  process.exitCode = 1
}
