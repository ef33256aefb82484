import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { Pulse } from '../../src/agent/failover/pulse/pulse.ts'
import { type Datapath, openDatapath } from '../../src/datapath/datapath.ts'
import type { Address } from '../../src/net/address.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { createLog } from '../../src/runtime/log.ts'
import { enterPrivateNamespaces, privateNamespacesRefused } from './private-namespaces.ts'

const hourNs = 3_600_000_000_000n

export const skip = privateNamespacesRefused

/**
 * A node's own tables, and the pulse that writes them. One a process: the library that calls C does not outlive the thread
 * that has loaded it.
 */
export class PulseUnderTest {
  readonly datapath: Datapath
  readonly pulse: Pulse

  constructor() {
    this.datapath = openDatapath({ pinDirectory: join(enterPrivateNamespaces(), 'node') })
    this.pulse = new Pulse({
      datapath: this.datapath,
      tunnelPort: 8472,
      clock: systemClock,
      log: createLog('test', 'silent'),
      onChange: () => {},
      onLapse: () => {},
    })
  }

  /** For how long others will believe that this node lives; zero or less where they do not. */
  get aliveForMs(): number {
    const { alive_until_ns = 0n } = this.datapath.tables.liveness.get(0) ?? {}
    return Number(alive_until_ns - systemClock.monotonicNs()) / 1e6
  }

  /** What the kernel says of a gateway that is probed: it answers from now on, or does not. */
  async see(gateway: Address, isHeard: boolean): Promise<void> {
    const { probed_gateways: gateways } = this.datapath.tables
    await until(() => gateways.get(gateway) !== undefined)
    const { flapping_until_ns = 0n } = gateways.get(gateway) ?? {}
    const answered_ns = isHeard ? systemClock.monotonicNs() + hourNs : 0n
    gateways.set(gateway, { answered_ns, refused_ns: 0n, flapping_until_ns })
  }

  /** That new flows had better avoid it. */
  isDistrusted(gateway: Address): boolean {
    return (
      (this.datapath.tables.probed_gateways.get(gateway)?.flapping_until_ns ?? 0n) > systemClock.monotonicNs()
    )
  }

  /** Its tables hold, whatever happened before: on a busy machine anything may stand still for a while. */
  async becomeWell(): Promise<void> {
    while (this.aliveForMs <= 0) {
      this.pulse.setWell(this.pulse.lapse)
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
