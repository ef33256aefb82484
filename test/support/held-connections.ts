import { spawn } from 'node:child_process'
import { setTimeout } from 'node:timers/promises'
import { enterCommand } from '../../src/lab/machines/machine.ts'
import { type Cluster, type Death, leaveAlone, ports } from './gateway-deaths.ts'
import { capture, holdBinary } from './hold-program.ts'

const outpostAddress = '172.18.0.7'
export const allowedAddresses = ['172.18.0.42', '172.18.0.43', '172.18.0.44']

/** How much there is to lose. */
export interface Load {
  readonly connections: number
  /** Of those the ones that send a byte every 10 ms. */
  readonly senders: number
  readonly seconds: number
  /** When the gateway dies, of those seconds. */
  readonly diesAfterMs: number
}

/** What the client in the pod noticed. Times in ms. */
export interface Held {
  readonly connections: number
  readonly notOpened: number
  readonly broken: number
  readonly stallMs: { readonly p50: number; readonly p99: number; readonly max: number }
  readonly newFlows: number
  readonly newFlowsDisturbed: number
  readonly newFlowsDisturbedMs: number
  readonly newFlowsFailed: number
}

/** What the far end noticed. */
export interface Seen {
  /** ms of the clock that all namespaces of a machine share. */
  readonly from: number
  readonly sources: Readonly<Record<string, number>>
  /** Packets per 10 ms by the MAC that they came from. */
  readonly macs: Readonly<Record<string, readonly number[]>>
}

/** What the outpost tells on a port beside its own. */
async function ask(cluster: Cluster, port: number): Promise<string> {
  const script = `exec 3<>/dev/tcp/127.0.0.1/${port}; cat <&3`
  const outpost = cluster.state.containers.find(({ name }) => name === 'outpost')
  if (outpost === undefined) throw new Error('the outpost is gone')
  return capture(enterCommand(outpost.machine.init.pid, ['net'], ['bash', '-c', script]))
}

/** The far end begins to count anew. */
export async function forget(cluster: Cluster): Promise<void> {
  await ask(cluster, ports.base - 2)
}

export async function seen(cluster: Cluster): Promise<Seen> {
  return JSON.parse(await ask(cluster, ports.base - 1)) as Seen
}

/** Runs the client in the pod; the death happens a while after all connections are open. */
export async function holdThrough(
  cluster: Cluster,
  death: Death,
  { connections, senders, seconds, diesAfterMs }: Load,
): Promise<{ held: Held; seen: Seen; diedMs: number }> {
  const words = [outpostAddress, ports.base, ports.count, connections, senders, seconds].map(String)
  const [command = '', ...rest] = cluster.inPod([holdBinary, 'run', ...words])
  if (death.isAlone) await leaveAlone(cluster)
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
  await forget(cluster)
  await setTimeout(diesAfterMs)
  const diedMs = Number(process.hrtime.bigint() / 1_000_000n)
  await death.happen(cluster)
  await ended
  const line = output.split('\n').find((each) => each.startsWith('{')) ?? '{}'
  return { held: JSON.parse(line) as Held, seen: await seen(cluster), diedMs }
}

/** How many packets came from an address that no policy gave. */
export function wrongSources({ sources }: Seen): number {
  return Object.entries(sources)
    .filter(([address]) => !allowedAddresses.includes(address))
    .reduce((sum, [, count]) => sum + count, 0)
}
