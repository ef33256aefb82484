import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs, styleText } from 'node:util'
import { repository } from '../src/lab/layout.ts'
import { missingForLab } from '../src/lab/requirements.ts'
import { type Death, deaths, pathFailures, setUpCluster } from '../test/support/gateway-deaths.ts'
import { type Held, holdThrough, wrongSources } from '../test/support/held-connections.ts'
import { drawFailover } from './picture.ts'
import { compileTools } from './tools.ts'

/**
 * Measures what happens to many open connections when their gateway fails: how many break, how long they pause, and what new
 * connections notice.
 */
const { values: options } = parseArgs({
  options: {
    connections: { type: 'string', default: '10000' },
    senders: { type: 'string', default: '100' },
    seconds: { type: 'string', default: '12' },
    ways: { type: 'string', default: '' },
    /* With egressPath=tunnel. Failures of one of two paths are left out, because there is only one. */
    tunnel: { type: 'boolean', default: false },
    out: { type: 'string', default: join(repository, 'bench') },
  },
})
const load = {
  connections: Number(options.connections),
  senders: Number(options.senders),
  seconds: Number(options.seconds),
  diesAfterMs: 3_000,
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

async function measure(death: Death): Promise<{ result: Failover; held: Held }> {
  const cluster = await setUpCluster('failover', { path: options.tunnel ? 'tunnel' : 'auto' })
  try {
    const { held, seen } = await holdThrough(cluster, death, load)
    const result = {
      way: death.way,
      connections: held.connections - held.notOpened,
      broken: held.broken,
      stallMs: held.stallMs,
      newFlowsDisturbedMs: held.newFlowsDisturbedMs,
      newFlowsFailed: held.newFlowsFailed,
      wrongSource: wrongSources(seen),
    }
    return { result, held }
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
  for (const death of [...deaths, ...(options.tunnel ? [] : pathFailures)].filter(({ way }) =>
    way.includes(options.ways),
  )) {
    print(styleText('bold', death.way))
    const { result, held } = await measure(death)
    printResult({ result, held })
    results.push(result)
  }
  const name = options.tunnel ? 'failover-by-tunnel' : 'failover'
  writeFileSync(join(options.out, `${name}.json`), `${JSON.stringify(results, null, 2)}\n`)
  writeFileSync(join(options.out, `${name}.svg`), drawFailover(results))
  print(
    `\nWritten: ${join(options.out, `${name}.json`)} and ${name}.svg. Made by: node bench/failover.ts${options.tunnel ? ' --tunnel' : ''} --connections ${options.connections} --senders ${options.senders} --seconds ${options.seconds}`,
  )
}

try {
  await run()
} catch (error) {
  print(error instanceof Error ? error.message : String(error))
  process.exitCode = 1
}
