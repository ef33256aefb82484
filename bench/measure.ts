import { capture } from '../test/support/hold-program.ts'
import { cpuSeconds, loadBinary } from './tools.ts'
import { outpostAddress, port, type Way } from './ways.ts'

/** One figure of one measurement of one way. */
export interface Sample {
  readonly name: string
  readonly unit: string
  readonly value: number
  /** Whether a larger or a smaller figure is better. */
  readonly better: 'more' | 'less'
}

export interface Measurement {
  readonly title: string
  readonly command: string
  readonly run: (way: Way) => Promise<readonly Sample[]>
  /** Also measured with gatewayForwarding=stack. */
  readonly concernsStack?: boolean
}

interface Rate {
  readonly done: number
  readonly failed: number
  readonly perSecond: number
  readonly p50Us: number
  readonly p99Us: number
}

const load = (words: string): string => `load ${words}`

export async function runLoad<T>(way: Pick<Way, 'inPod'>, words: readonly string[]): Promise<T> {
  const [verb = '', ...rest] = words
  return JSON.parse(await capture(way.inPod([loadBinary, verb, outpostAddress, String(port), ...rest]))) as T
}

/** How many datagrams the outpost has received since the last call. */
export async function takeCount(way: Pick<Way, 'inPod'>): Promise<number> {
  const script = `exec 3<>/dev/tcp/${outpostAddress}/${port + 1}; cat <&3`
  return Number(await capture(way.inPod(['bash', '-c', script])))
}

export function measurements(seconds: number): readonly Measurement[] {
  const time = String(seconds)
  const bulk = (direction: 'out' | 'in', name: string): Measurement => ({
    title: name,
    command: load(`bulk ${time} ${direction}`),
    concernsStack: direction === 'out',
    run: async (way) => {
      const from = cpuSeconds()
      const { gbitPerSecond, bytes } = await runLoad<{ gbitPerSecond: number; bytes: number }>(way, [
        'bulk',
        time,
        direction,
      ])
      const msPerGigabyte = ((cpuSeconds().busy - from.busy) * 1e3) / (bytes / 1e9)
      return [
        { name, unit: 'Gbit/s', value: gbitPerSecond, better: 'more' },
        { name: `CPU for a gigabyte, ${name}`, unit: 'ms', value: msPerGigabyte, better: 'less' },
      ]
    },
  })
  const connections = (concurrency: number, name: string): Measurement => ({
    title: name,
    command: load(`crr ${time} ${concurrency}`),
    concernsStack: concurrency > 1,
    run: async (way) => {
      const { perSecond, p50Us } = await runLoad<Rate>(way, ['crr', time, String(concurrency)])
      const rate = { name, unit: '1/s', value: perSecond, better: 'more' } as const
      if (concurrency > 1) return [rate]
      return [rate, { name: `${name}, latency p50`, unit: 'µs', value: p50Us, better: 'less' }]
    },
  })
  return [
    bulk('out', 'bulk TCP, pod to world'),
    bulk('in', 'bulk TCP, world to pod'),
    {
      title: 'request/response on one connection',
      command: load(`rr ${time}`),
      run: async (way) => {
        const { perSecond, p50Us, p99Us } = await runLoad<Rate>(way, ['rr', time])
        return [
          { name: 'request/response on one connection', unit: '1/s', value: perSecond, better: 'more' },
          { name: 'request/response, latency p50', unit: 'µs', value: p50Us, better: 'less' },
          { name: 'request/response, latency p99', unit: 'µs', value: p99Us, better: 'less' },
        ]
      },
    },
    connections(1, 'new connections, one at a time'),
    connections(32, 'new connections, 32 at a time'),
    {
      title: 'small UDP packets',
      command: load(`udp ${time}`),
      concernsStack: true,
      run: async (way) => {
        await takeCount(way)
        const from = cpuSeconds()
        await runLoad<Rate>(way, ['udp', time])
        const used = cpuSeconds().busy - from.busy
        const received = await takeCount(way)
        return [
          { name: 'small UDP packets received', unit: '1/s', value: received / seconds, better: 'more' },
          { name: 'CPU per small UDP packet', unit: 'µs', value: (used * 1e6) / received, better: 'less' },
        ]
      },
    },
  ]
}

/** Opens connections to one destination for a long time, so that a gateway with too few ports would run out of them. */
export function endurance(seconds: number): Measurement {
  return {
    title: `new connections over ${seconds} s to one destination`,
    command: load(`crr ${seconds} 32`),
    run: async (way) => {
      const { perSecond, failed } = await runLoad<Rate>(way, ['crr', String(seconds), '32'])
      return [
        {
          name: `new connections over ${seconds} s to one destination`,
          unit: '1/s',
          value: perSecond,
          better: 'more',
        },
        { name: `of them failed over ${seconds} s`, unit: 'connections', value: failed, better: 'less' },
      ]
    },
  }
}
