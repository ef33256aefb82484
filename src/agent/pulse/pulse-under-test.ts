import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { type Datapath, openDatapath } from '../../datapath/datapath.ts'
import { enterPrivateNamespaces, privateNamespacesRefused } from '../../datapath/private-namespaces.ts'
import { systemClock } from '../../runtime/clock.ts'
import { createLog } from '../../runtime/log.ts'
import { Pulse } from './pulse.ts'

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
      onPause: () => {},
    })
  }

  /** For how long others will believe that this node lives; zero or less where they do not. */
  get aliveForMs(): number {
    const { alive_until_ns = 0n } = this.datapath.tables.vitals.get(0) ?? {}
    return Number(alive_until_ns - systemClock.monotonicNs()) / 1e6
  }
}

export async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await setTimeout(10)
}
