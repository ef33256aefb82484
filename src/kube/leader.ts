import type { Clock } from '../runtime/clock.ts'
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

export interface LeaderOptions {
  readonly namespace: string
  readonly name: string
  /** Unique to this process. */
  readonly identity: string
  readonly clock: Clock
  readonly log: Logger
}

/** A leader that cannot renew for two thirds of this steps down; the others wait for all of it. */
const leaseDurationMs = 15_000
const renewEveryMs = 2_000
const stepDownAfterMs = 10_000

/**
 * Leader election on a Lease. Whether another's lease is still good is judged by when this process last saw it change,
 * never by the times written in it: clocks of two machines differ.
 */
export class Leadership {
  readonly #options: LeaderOptions
  readonly #leases
  #seen = { version: '', atMs: 0 }
  #renewedAtMs = 0
  isLeader = false

  constructor(client: KubeClient, options: LeaderOptions) {
    this.#options = options
    this.#leases = client.resource<LeaseObject>({
      group: 'coordination.k8s.io',
      version: 'v1',
      plural: 'leases',
      isNamespaced: true,
    })
  }

  /** Until the signal, when the lease is given up so that the next leader need not wait. `onChange` after every change. */
  async start(signal: AbortSignal, onChange: () => void): Promise<void> {
    const { clock, log } = this.#options
    while (!signal.aborted) {
      const wasLeader = this.isLeader
      try {
        await this.#try()
      } catch (error) {
        if (!isConflict(error) && !isAlreadyExists(error))
          log.debug({ err: error }, 'the lease could not be read or renewed')
      }
      if (this.isLeader && clock.now() - this.#renewedAtMs > stepDownAfterMs) this.isLeader = false
      if (wasLeader !== this.isLeader) {
        log.info({ isLeader: this.isLeader }, this.isLeader ? 'leads' : 'leads no longer')
        onChange()
      }
      await clock.sleep(renewEveryMs, signal)
    }
    if (this.isLeader) await this.#release().catch(() => {})
  }

  async #try(): Promise<void> {
    const { namespace, name, identity, clock } = this.#options
    const lease = await this.#leases.get(name, namespace).catch((error: unknown) => {
      if (isNotFound(error)) return undefined
      throw error
    })
    const now = new Date(clock.now()).toISOString().replace('Z', '000Z')
    if (lease === undefined) {
      await this.#leases.create({
        apiVersion: 'coordination.k8s.io/v1',
        kind: 'Lease',
        metadata: { name, namespace },
        spec: this.#claim(now, now, 0),
      } as LeaseObject)
      return this.#noteRenewed()
    }
    const version = lease.metadata.resourceVersion ?? ''
    if (version !== this.#seen.version) this.#seen = { version, atMs: clock.now() }
    const { holderIdentity, acquireTime, leaseTransitions = 0 } = lease.spec ?? {}
    const isMine = holderIdentity === identity
    const isFree = !holderIdentity || clock.now() - this.#seen.atMs > leaseDurationMs
    if (!isMine && !isFree) {
      this.isLeader = false
      return
    }
    const spec = this.#claim(
      now,
      isMine ? (acquireTime ?? now) : now,
      isMine ? leaseTransitions : leaseTransitions + 1,
    )
    await this.#leases.replace({ ...lease, spec }, { namespace })
    this.#noteRenewed()
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

  #noteRenewed(): void {
    this.#renewedAtMs = this.#options.clock.now()
    this.isLeader = true
  }

  async #release(): Promise<void> {
    const { namespace, name } = this.#options
    const lease = await this.#leases.get(name, namespace)
    await this.#leases.replace({ ...lease, spec: { ...lease.spec, holderIdentity: '' } }, { namespace })
  }
}
