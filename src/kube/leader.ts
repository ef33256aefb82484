import { abortAfter, type Clock } from '../runtime/clock.ts'
import type { Logger } from '../runtime/log.ts'
import type { KubeClient, KubeObject } from './client.ts'
import { isAlreadyExists, isConflict, isNotFound } from './kube-error.ts'

interface LeaseObject extends KubeObject {
  readonly spec?: {
    readonly holderIdentity?: string
    readonly leaseDurationSeconds?: number
    readonly renewTime?: string
    readonly acquireTime?: string
    readonly leaseTransitions?: number
  }
}

interface LeaderOptions {
  readonly namespace: string
  readonly name: string
  /** Unique to this process. */
  readonly identity: string
  readonly clock: Clock
  readonly log: Logger
}

/** A leader leads for two thirds of this after each renewal. Other processes wait for all of it. */
const leaseDurationMs = 15_000
const leadsForMs = 10_000
const renewEveryMs = 2_000
/** The timeout of all calls of one renewal. After a call that hangs, there is time for two more. */
const callsForMs = 3_000

/**
 * Leader election with a Lease. A process judges another process's lease by when it last saw the lease change, never by the
 * times in it, because the clocks of two machines differ. Leadership is a deadline, so it ends even while a call hangs.
 */
export class Leadership {
  readonly #options: LeaderOptions
  readonly #leases
  #seen = { version: '', atMs: 0 }
  #leadsUntilMs = 0
  #term = 0

  constructor(client: KubeClient, options: LeaderOptions) {
    this.#options = options
    this.#leases = client.resource<LeaseObject>({
      group: 'coordination.k8s.io',
      version: 'v1',
      plural: 'leases',
      isNamespaced: true,
    })
  }

  get isLeader(): boolean {
    return this.term !== undefined
  }

  /**
   * Counts how often this process has become the leader. Undefined while it does not lead. What it knew in an earlier term
   * may be old.
   */
  get term(): number | undefined {
    return this.#options.clock.monotonicMs() < this.#leadsUntilMs ? this.#term : undefined
  }

  /**
   * Runs until the signal. Calls `onChange` after every change. A leader leads until `release` or until its time is over.
   */
  async start(signal: AbortSignal, onChange: () => void): Promise<void> {
    const { clock, log } = this.#options
    let known: number | undefined
    while (!signal.aborted) {
      using deadline = abortAfter(clock, callsForMs)
      try {
        await this.#try(AbortSignal.any([signal, deadline.signal]))
      } catch (error) {
        if (!isConflict(error) && !isAlreadyExists(error))
          log.debug({ err: error }, 'reading or renewing the leader Lease failed')
      }
      if (known !== this.term) {
        known = this.term
        log.info({ isLeader: this.isLeader }, this.isLeader ? 'became the leader' : 'lost the leadership')
        onChange()
      }
      await clock.sleep(renewEveryMs, signal)
    }
  }

  /** Call it when no work is in progress, so that the next leader need not wait. */
  async release(): Promise<void> {
    if (!this.isLeader) return
    this.#leadsUntilMs = 0
    const { namespace, name, clock, log } = this.#options
    using deadline = abortAfter(clock, callsForMs)
    const { signal } = deadline
    try {
      const lease = await this.#leases.get(name, namespace, signal)
      const spec = { ...lease.spec, holderIdentity: '' }
      await this.#leases.replace({ ...lease, spec }, { namespace, signal })
    } catch (error) {
      log.debug({ err: error }, 'releasing the leader Lease failed; the next leader waits until it expires')
    }
  }

  async #try(signal: AbortSignal): Promise<void> {
    const { namespace, name, identity, clock } = this.#options
    const askedMs = clock.monotonicMs()
    const lease = await this.#leases.get(name, namespace, signal).catch((error: unknown) => {
      if (isNotFound(error)) return undefined
      throw error
    })
    const now = new Date(clock.now()).toISOString().replace('Z', '000Z')
    if (lease === undefined) {
      const created = {
        apiVersion: 'coordination.k8s.io/v1',
        kind: 'Lease',
        metadata: { name, namespace },
        spec: this.#claim(now, now, 0),
      } as LeaseObject
      await this.#leases.create(created, { signal })
      return this.#noteRenewed(askedMs)
    }
    const version = lease.metadata.resourceVersion ?? ''
    if (version !== this.#seen.version) this.#seen = { version, atMs: clock.monotonicMs() }
    const { holderIdentity, acquireTime, leaseTransitions = 0 } = lease.spec ?? {}
    const isMine = holderIdentity === identity
    const isFree = !holderIdentity || clock.monotonicMs() - this.#seen.atMs > leaseDurationMs
    if (!isMine && !isFree) {
      this.#leadsUntilMs = 0
      return
    }
    const spec = this.#claim(
      now,
      isMine ? (acquireTime ?? now) : now,
      isMine ? leaseTransitions : leaseTransitions + 1,
    )
    await this.#leases.replace({ ...lease, spec }, { namespace, signal })
    this.#noteRenewed(askedMs)
  }

  #claim(renewTime: string, acquireTime: string, leaseTransitions: number): NonNullable<LeaseObject['spec']> {
    const { identity } = this.#options
    return {
      holderIdentity: identity,
      leaseDurationSeconds: leaseDurationMs / 1000,
      renewTime,
      acquireTime,
      leaseTransitions,
    }
  }

  /** Counted from before the calls, because other processes may have seen the new lease since then. */
  #noteRenewed(askedMs: number): void {
    if (!this.isLeader) this.#term++
    this.#leadsUntilMs = askedMs + leadsForMs
  }
}
