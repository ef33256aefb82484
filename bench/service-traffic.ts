import { capture } from '../test/support/hold-program.ts'
import type { Sample } from './measure.ts'
import { clusterIp, type ServiceWay } from './service-ways.ts'
import { cpuSeconds, loadBinary, median, ratioOf } from './tools.ts'
import { port } from './ways.ts'

/** How the client calls the server. `ownAddress` is in the cluster of `service`. */
export type Target = 'service' | 'ownAddress' | 'kubeProxy' | 'kernel'

/** One figure. A ratio is the advantage of Sallyport's Services: above 1 is better, also for latencies and CPU time. */
export interface TrafficResult {
  readonly name: string
  readonly unit: string
  readonly services: number
  readonly service: number
  readonly ownAddress: number
  /** Sallyport beside kube-proxy's rules. */
  readonly kubeProxy: number | null
  /** kube-proxy's rules on nodes without Sallyport, with VXLAN between them. */
  readonly kernel: number | null
  readonly ratioToOwnAddress: number | null
  readonly ratioToKubeProxy: number | null
  readonly ratioToKernel: number | null
}

interface ServiceMeasurement {
  readonly title: string
  readonly run: (call: Call) => Promise<readonly Sample[]>
}

/** Runs the load generator with this verb, seconds and numbers, against the target. */
type Call = <T>(verb: string, ...rest: readonly string[]) => Promise<T>

interface Rate {
  readonly perSecond: number
  readonly failed: number
  readonly p50Us: number
  readonly p99Us: number
}

/** `seconds` for each. */
export function serviceMeasurements(seconds: number): readonly ServiceMeasurement[] {
  const time = String(seconds)
  const bulk = (direction: 'out' | 'in', name: string): ServiceMeasurement => ({
    title: name,
    run: async (call) => {
      const from = cpuSeconds()
      const { gbitPerSecond, bytes } = await call<{ gbitPerSecond: number; bytes: number }>('bulk', time, direction) // biome-ignore format: one line
      const msPerGigabyte = ((cpuSeconds().busy - from.busy) * 1e3) / (bytes / 1e9)
      return [
        { name, unit: 'Gbit/s', value: gbitPerSecond, better: 'more' },
        { name: `CPU for a gigabyte, ${name}`, unit: 'ms', value: msPerGigabyte, better: 'less' },
      ]
    },
  })
  const rated = (name: string, verb: string, ...rest: readonly string[]): ServiceMeasurement => ({
    title: name,
    run: async (call) => {
      const { perSecond, failed, p50Us, p99Us } = await call<Rate>(verb, time, ...rest)
      if (failed > 0) throw new Error(`${failed} connections failed: ${name}`)
      return [
        { name, unit: '1/s', value: perSecond, better: 'more' },
        { name: `${name}, latency p50`, unit: 'µs', value: p50Us, better: 'less' },
        { name: `${name}, latency p99`, unit: 'µs', value: p99Us, better: 'less' },
      ]
    },
  })
  return [
    rated('requests on one connection', 'rr'),
    rated('new connections, one at a time', 'crr', '1'),
    rated('new connections, 32 at a time', 'crr', '32'),
    bulk('out', 'bulk TCP to the server'),
    bulk('in', 'bulk TCP from the server'),
  ]
}

/** Measures all targets, round by round, in turns. `tell` gets a line for each step. */
export async function measureServices(
  ways: readonly ServiceWay[],
  list: readonly ServiceMeasurement[],
  { rounds, services, tell }: { rounds: number; services: number; tell: (line: string) => void },
): Promise<readonly TrafficResult[]> {
  const targets = ways.flatMap((way): (readonly [Target, ServiceWay, string])[] =>
    way.name === 'strict'
      ? [['service', way, clusterIp], ['ownAddress', way, way.server]]
      : [[way.name === 'beside' ? 'kubeProxy' : 'kernel', way, clusterIp]],
  ) // biome-ignore format: a target each
  const samples = new Map<string, { sample: Sample; by: Map<Target, number[]> }>()
  for (let round = 1; round <= rounds; round++) {
    tell(`Round ${round} of ${rounds}, ${services} Services`)
    for (const { title, run } of list) {
      tell(`  ${title}`)
      for (const [target, way, host] of round % 2 === 0 ? targets.toReversed() : targets) {
        const call: Call = async (verb, ...rest) =>
          JSON.parse(await capture(way.inPod([loadBinary, verb, host, String(port), ...rest])))
        for (const sample of await run(call)) {
          const entry = samples.get(sample.name) ?? { sample, by: new Map<Target, number[]>() }
          samples.set(sample.name, entry)
          entry.by.set(target, [...(entry.by.get(target) ?? []), sample.value])
        }
      }
    }
  }
  return [...samples.values()].map(({ sample, by }) => toResult(sample, services, by))
}

function toResult(
  { name, unit, better }: Sample,
  services: number,
  by: ReadonlyMap<Target, readonly number[]>,
): TrafficResult {
  const of = (target: Target): number | null => {
    const values = by.get(target)
    return values === undefined ? null : median(values)
  }
  const against = (target: Target): number | null =>
    ratioOf(better, by.get('service') ?? [], by.get(target) ?? [])
  return {
    ...{ name, unit, services },
    ...{ service: of('service') ?? 0, ownAddress: of('ownAddress') ?? 0 },
    ...{ kubeProxy: of('kubeProxy'), kernel: of('kernel') },
    ratioToOwnAddress: against('ownAddress'),
    ratioToKubeProxy: against('kubeProxy'),
    ratioToKernel: against('kernel'),
  }
}

/** A table of results, a line each. */
export function trafficTable(results: readonly TrafficResult[]): readonly string[] {
  const cell = (value: number | null): string => (value === null ? '–' : value >= 1000 ? value.toFixed(0) : value.toFixed(2)) // biome-ignore format: one line
  const row = (first: string, ...rest: readonly string[]): string =>
    `${first.padEnd(56)}${rest.map((each) => each.padStart(12)).join('')}`
  return [
    row('figure', 'Services', 'Service', 'own address', 'kube-proxy', 'kernel', 'to own', 'to k-proxy', 'to kernel'),
    ...results.map((each) =>
      row(
        `${each.name}, ${each.unit}`, String(each.services), cell(each.service), cell(each.ownAddress), cell(each.kubeProxy), cell(each.kernel),
        cell(each.ratioToOwnAddress), cell(each.ratioToKubeProxy), cell(each.ratioToKernel),
      ),
    ),
  ] // biome-ignore format: a table
}
