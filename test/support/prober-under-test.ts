import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { stepFailover } from '../../src/agent/failover/failover-rules.ts'
import {
  type FromProber,
  flagIndex,
  newFlags,
  type ProberHandle,
  type Verdict,
  type Watched,
} from '../../src/agent/failover/pulse/messages.ts'
import { proberThread } from '../../src/agent/failover/pulse/prober-thread.ts'
import { type FailoverState, startOfFailover } from '../../src/agent/failover/state.ts'
import { type Datapath, openDatapath } from '../../src/datapath/datapath.ts'
import type { Address } from '../../src/net/address.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { createLog } from '../../src/runtime/log.ts'
import { enterPrivateNamespaces, privateNamespacesRefused } from './private-namespaces.ts'

const hourNs = 3_600_000_000_000n

export const skip = privateNamespacesRefused

/**
 * A node's own tables, the thread that probes, and what failover makes of its reports. One a process: the library that calls C
 * does not outlive the thread that has loaded it.
 */
export class ProberUnderTest {
  readonly datapath: Datapath
  state: FailoverState = startOfFailover('node', new Map())
  readonly #flags = newFlags()
  readonly #prober: ProberHandle
  readonly #left = Promise.withResolvers<void>()
  readonly #beat = setInterval(() => Atomics.add(this.#flags, flagIndex.beat, 1), 500)

  constructor() {
    this.datapath = openDatapath({ pinDirectory: join(enterPrivateNamespaces(), 'node') })
    const start = proberThread(this.datapath, 8472, createLog('test', 'silent'))
    this.#prober = start({ flags: this.#flags, report: (report) => this.#take(report) })
  }

  #take(report: FromProber): void {
    if (report.kind === 'left') {
      this.#left.resolve()
      return
    }
    const ns = systemClock.monotonicNs()
    const { state, effects } = stepFailover(this.state, report, { ms: Number(ns / 1_000_000n), ns })
    this.state = state
    for (const effect of effects) if (effect.kind === 'avoid') this.#prober.send(effect)
  }

  watch(watched: Watched): void {
    this.state = { ...this.state, watched }
    this.#prober.send({ kind: 'watch', watched })
  }

  verdict(gateway: Address): Verdict | undefined {
    return this.state.gateways.get(gateway)
  }

  /** The tables hold what was known after that absence. */
  answerProbes(absence: number): void {
    Atomics.store(this.#flags, flagIndex.aliveAfterAbsence, absence + 1)
  }

  async leave(): Promise<void> {
    clearInterval(this.#beat)
    this.#prober.send({ kind: 'leave' })
    await this.#left.promise
    await this.#prober.stop()
  }

  /** For how long others will believe that this node lives; zero or less where they do not. */
  get aliveForMs(): number {
    const { alive_until_ns = 0n } = this.datapath.tables.liveness.get(0) ?? {}
    return Number(alive_until_ns - systemClock.monotonicNs()) / 1e6
  }

  /** What the kernel says of a gateway that is probed: it answers from now on, or does not. */
  async see(gateway: Address, answers: boolean): Promise<void> {
    const { probed_gateways: probed } = this.datapath.tables
    await until(() => probed.get(gateway) !== undefined)
    const { flapping_until_ns = 0n } = probed.get(gateway) ?? {}
    const answered_ns = answers ? systemClock.monotonicNs() + hourNs : 0n
    probed.set(gateway, { answered_ns, refused_ns: 0n, flapping_until_ns })
  }

  /** New flows avoid it. */
  isAvoided(gateway: Address): boolean {
    return (
      (this.datapath.tables.probed_gateways.get(gateway)?.flapping_until_ns ?? 0n) > systemClock.monotonicNs()
    )
  }

  /** Its tables hold, whatever happened before: on a busy machine anything may stand still for a while. */
  async becomeAlive(): Promise<void> {
    while (this.aliveForMs <= 0) {
      this.answerProbes(this.state.absence)
      await setTimeout(10)
    }
  }
}

/** This whole process stands still, as in a frozen cgroup. */
export function standStill(seconds: number): Promise<unknown> {
  const script = `kill -STOP ${process.pid}; sleep ${seconds}; kill -CONT ${process.pid}`
  return once(spawn('sh', ['-c', script]), 'exit')
}

/** The agent's own thread is busy; the one that probes is not. */
export function block(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}

export async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await setTimeout(10)
}
