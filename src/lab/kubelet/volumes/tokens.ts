import type { KubeClient } from '../../../kube/client.ts'
import { coreResource } from '../../../kube/cluster-objects.ts'
import type { Clock } from '../../../runtime/clock.ts'
import type { Pod } from '../pod-spec.ts'
import type { TokenSource } from './volume-spec.ts'

interface IssuedToken {
  readonly token: string
  readonly issuedMs: number
  readonly expiresMs: number
}

const defaultSeconds = 3600
const dayMs = 86_400_000

/**
 * Tokens of service accounts, bound to their pods: Kubernetes gives a kubelet no other, and ends them with the pod. A token is
 * replaced when 80 % of its life is over, or after a day, as a real kubelet does it.
 */
export class Tokens {
  readonly #client: KubeClient
  readonly #clock: Clock
  /** By pod, then by audience and lifetime. */
  readonly #issued = new Map<string, Map<string, IssuedToken>>()

  constructor(client: KubeClient, clock: Clock) {
    this.#client = client
    this.#clock = clock
  }

  async tokenFor(pod: Pod, { audience = '', expirationSeconds = defaultSeconds }: TokenSource) {
    const uid = pod.metadata.uid ?? ''
    const key = `${expirationSeconds}/${audience}`
    const ofPod = this.#issued.get(uid) ?? new Map<string, IssuedToken>()
    this.#issued.set(uid, ofPod)
    const known = ofPod.get(key)
    const now = this.#clock.now()
    if (known !== undefined && !isDue(known, now)) return known.token
    try {
      const issued = await this.#request(pod, audience, expirationSeconds)
      ofPod.set(key, issued)
      return issued.token
    } catch (cause) {
      /* While the API server is away the old one still serves. */
      if (known !== undefined && known.expiresMs > now) return known.token
      throw new Error(`failed to fetch token: ${cause instanceof Error ? cause.message : cause}`, { cause })
    }
  }

  forget(uid: string): void {
    this.#issued.delete(uid)
  }

  async #request(pod: Pod, audience: string, expirationSeconds: number): Promise<IssuedToken> {
    const { namespace = 'default', name, uid } = pod.metadata
    const accounts = this.#client.resource(coreResource('serviceaccounts', true))
    const answer = (await this.#client.json({
      method: 'POST',
      path: accounts.path(namespace, pod.spec.serviceAccountName ?? 'default', 'token'),
      body: {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenRequest',
        spec: {
          expirationSeconds,
          ...(audience === '' ? {} : { audiences: [audience] }),
          boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name, uid },
        },
      },
    })) as { status: { token: string; expirationTimestamp: string } }
    const { token, expirationTimestamp } = answer.status
    return { token, issuedMs: this.#clock.now(), expiresMs: Date.parse(expirationTimestamp) }
  }
}

function isDue({ issuedMs, expiresMs }: IssuedToken, nowMs: number): boolean {
  const lifeMs = expiresMs - issuedMs
  return nowMs > expiresMs - lifeMs / 5 || nowMs - issuedMs > dayMs
}
