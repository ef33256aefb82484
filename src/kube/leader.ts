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

/** Whoever has renewed leads for two thirds of this; the others wait for all of it. */
const leaseDurationMs = 15_000
const leadsForMs = 10_000
const renewEveryMs = 2_000
/** All calls of one renewal: one that hangs leaves time for two more. */
const callsForMs = 3_000

/**
 * Leader election on a Lease. Whether another's lease is still good is judged by when this process last saw it change,
 * never by the times written in it: clocks of two machines differ. To lead is a deadline: it passes also while a call hangs.
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

  /** Which time it is that this process leads; undefined while it does not. What it knew in another term may be old. */
  get term(): number | undefined {
    return this.#options.clock.monotonicMs() < this.#leadsUntilMs ? this.#term : undefined
  }

  /** Until the signal. `onChange` after every change. Whoever stops leads on until `release`, or its time is over. */
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

  /** When nothing is under way any more: the next leader need not wait. */
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

  /** Counted from before the calls: the others may have seen the new lease as early as that. */
  #noteRenewed(askedMs: number): void {
    if (!this.isLeader) this.#term++
    this.#leadsUntilMs = askedMs + leadsForMs
  }
}
