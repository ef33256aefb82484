import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { repository } from '../src/lab/layout.ts'
import { missingForLab } from '../src/lab/requirements.ts'
import { capture } from '../test/support/hold-program.ts'
import { measureServicePrograms } from './service-programs.ts'
import { measureServices, serviceMeasurements, type TrafficResult, trafficTable } from './service-traffic.ts'
import { type ServiceWay, setUpBeside, setUpKernel, setUpStrict } from './service-ways.ts'
import { compileTools } from './tools.ts'

/**
 * What a Service costs, and whether that grows with the number of Services. Each part is written to its own field of the result file:
 *
 *   programs  test runs in the kernel: the nanoseconds for a packet, with 10, 1,000 and 10,000 Services
 *   traffic   a pod calls a pod of another node: by a Service of Sallyport, by the pod's own address, by the rules of kube-proxy beside
 *             Sallyport, and by the same rules on nodes without Sallyport. All in one run, in turns.
 *   sizes     the same for requests and new connections, with 10, 1,000 and 10,000 Services
 *
 *   node bench/services.ts --parts traffic --rounds 5 --seconds 2
 */
const { values: options } = parseArgs({
  options: {
    parts: { type: 'string', default: 'programs,traffic,sizes' },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '2' },
    sizes: { type: 'string', default: '10,1000,10000' },
    out: { type: 'string', default: join(repository, 'bench/services.json') },
  },
})

/** So that a client that opens ten thousand connections a second does not run out of its own ports. */
const manyConnections = `echo 1 >/proc/sys/net/ipv4/tcp_tw_reuse; echo '1024 65535' >/proc/sys/net/ipv4/ip_local_port_range`

const print = (line = ''): void => void process.stdout.write(`${line}\n`)
const [rounds, seconds] = [Number(options.rounds), Number(options.seconds)]
const sizes = options.sizes.split(',').map(Number)

async function withWays(
  setUps: readonly (() => Promise<ServiceWay>)[],
  measure: (ways: readonly ServiceWay[]) => Promise<readonly TrafficResult[]>,
): Promise<readonly TrafficResult[]> {
  const ways: ServiceWay[] = []
  try {
    print(`Setting up ${setUps.length} clusters …`)
    for (const setUp of setUps) {
      const way = await setUp()
      ways.push(way)
      await capture(way.inPod(['sh', '-ec', manyConnections]))
    }
    return await measure(ways)
  } finally {
    for (const way of ways) await way.remove()
  }
}

async function growTo(ways: readonly ServiceWay[], count: number): Promise<void> {
  print(`Adding Services until there are ${count} …`)
  for (const way of ways) await way.grow(count)
}

const parts: Readonly<Record<string, () => Promise<readonly object[]>>> = {
  programs: () => measureServicePrograms(sizes),
  traffic: () =>
    withWays([setUpStrict, setUpBeside, setUpKernel], async (ways) => {
      await growTo(ways, 10)
      return measureServices(ways, serviceMeasurements(seconds), { rounds, services: 10, tell: print })
    }),
  sizes: () =>
    withWays([setUpStrict, setUpKernel], async (ways) => {
      const list = serviceMeasurements(seconds).filter(({ title }) => !title.includes('bulk'))
      const results: TrafficResult[] = []
      for (const size of sizes) {
        await growTo(ways, size)
        results.push(...(await measureServices(ways, list, { rounds, services: size, tell: print })))
      }
      return results
    }),
}

async function run(): Promise<void> {
  const missing = missingForLab()
  if (missing.length > 0) throw new Error(missing.join('; '))
  compileTools()
  for (const part of options.parts.split(',')) {
    const measure = parts[part]
    if (measure === undefined)
      throw new Error(`there is no part ${part}: use ${Object.keys(parts).join(', ')}`)
    print(part)
    const results = await measure()
    const lines = part === 'programs' ? results.map((each) => JSON.stringify(each)) : trafficTable(results as TrafficResult[]) // biome-ignore format: one line
    for (const line of lines) print(line)
    const before = existsSync(options.out) ? JSON.parse(readFileSync(options.out, 'utf8')) : {}
    writeFileSync(options.out, `${JSON.stringify({ ...before, [part]: results }, null, 2)}\n`)
  }
  print(`Written: ${options.out}`)
}

try {
  await run()
} catch (error) {
  print(error instanceof Error ? error.message : String(error))
  process.exitCode = 1
}
process.exit()
