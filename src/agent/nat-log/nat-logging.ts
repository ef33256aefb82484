import type { Tables } from '../../decide/tables.ts'
import type { Configuration } from '../../install/configuration.ts'
import type { Attachment } from '../pods/attachments.ts'
import type { NatLog, NatLogCounts, NatLogOptions } from './nat-log.ts'

interface NatLoggingOptions extends Omit<NatLogOptions, 'settings'> {
  readonly configuration: Pick<Configuration, 'natLog'>
}

type Observed = readonly [attachments: readonly Attachment[], policies: Tables['policies']]

/** The NAT log, if there is one. Its code is loaded only then. */
export class NatLogging {
  readonly #options: NatLoggingOptions
  #observed: Observed | undefined
  #log: NatLog | undefined
  #failure: string | undefined
  #isStarted = false

  constructor(options: NatLoggingOptions) {
    this.#options = options
  }

  get log(): NatLog | undefined {
    return this.#log
  }

  get counts(): NatLogCounts | undefined {
    return this.#log?.counts
  }

  get problems(): readonly string[] {
    return this.#failure === undefined ? [] : [this.#failure]
  }

  /** Writes records until the signal. A log that cannot be opened stops nothing else. */
  async run(signal: AbortSignal): Promise<void> {
    const { configuration, log } = this.#options
    const { natLog: settings } = configuration
    if (settings === undefined || signal.aborted) return
    try {
      const { NatLog } = await import('./nat-log.ts')
      using opened = new NatLog({ ...this.#options, settings })
      this.#log = opened
      if (this.#observed !== undefined) this.observe(...this.#observed)
      await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
      this.#log = undefined
    } catch (error) {
      this.#log = undefined
      const reason = error instanceof Error ? error.message : String(error)
      this.#failure = `The NAT log cannot be written: ${reason}. Mend it and restart the agent of this node.`
      log.error({ err: error }, 'the NAT log cannot be written')
    }
  }

  /** Which pods and policies there are. Call it before a new pod sends its first packet. */
  observe(...observed: Observed): void {
    if (this.#options.configuration.natLog === undefined) return
    this.#observed = observed
    if (this.#log === undefined) return
    this.#log.names.observe(...observed, this.#options.clock.monotonicMs())
    if (!this.#isStarted) this.#log.start()
    this.#isStarted = true
  }

  /** The sweep calls it between its steps. */
  drain(): void {
    if (this.#isStarted) this.#log?.drain()
  }
}
