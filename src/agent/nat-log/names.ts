import { readFileSync } from 'node:fs'
import type { PolicyName, Tables } from '../../decide/tables.ts'
import type { Address } from '../../net/address.ts'
import { replaceFile } from '../../runtime/replace-file.ts'
import type { Attachment } from '../pods/attachments.ts'

interface KnownPod {
  readonly namespace: string
  readonly name: string
  readonly addresses: readonly Address[]
  /** CLOCK_MONOTONIC in nanoseconds. */
  readonly sinceNs: bigint
  /** Of the same clock, in milliseconds. */
  readonly goneAtMs?: number
}

/**
 * The sweep deletes the mappings of a pod that is gone within a minute. So a record asks for a pod at most this long after it
 * has gone, unless no agent ran in the meantime.
 */
const keepGoneMs = 30 * 60_000
/** Connections outlive their policy. */
const maxPolicies = 4096

/**
 * Which pod had an address when, and what a policy was called, also when they are gone: a flow's record is made after its end.
 * A file keeps both over a restart. It is in the folder that a boot empties, so the times in it have one meaning.
 */
export class Names {
  readonly #path: string
  readonly #pods: Map<string, KnownPod>
  readonly #policies: Map<bigint, PolicyName>
  readonly #byAddress = new Map<Address, readonly KnownPod[]>()
  #seen: { readonly attachments?: readonly string[]; readonly policies?: Tables['policies'] } = {}

  constructor(path: string) {
    this.#path = path
    const { pods, policies } = readKnown(path)
    this.#pods = pods
    this.#policies = policies
    this.#index()
  }

  /** Call it whenever a pod or a policy has come or gone, and before a new pod sends its first packet. */
  observe(attachments: readonly Attachment[], policies: Tables['policies'], nowMs: number): void {
    const containers = attachments.map(({ containerId, addresses }) => `${containerId} ${addresses.length}`)
    const isSame = (this.#seen.attachments ?? []).join() === containers.join()
    if (this.#seen.attachments !== undefined && isSame && this.#seen.policies === policies) return
    const changed = [this.#observePods(attachments, nowMs), this.#observePolicies(policies)]
    if (changed.includes(true)) {
      this.#write()
      this.#index()
    }
    this.#seen = { attachments: containers, policies }
  }

  #observePods(attachments: readonly Attachment[], nowMs: number): boolean {
    const present = new Map(
      attachments.map(({ containerId, pod, addresses, sinceNs }) => [
        containerId,
        { namespace: pod.namespace, name: pod.name, addresses, sinceNs },
      ]),
    )
    let hasChanged = false
    for (const [id, pod] of this.#pods) {
      if (present.has(id)) continue
      if (pod.goneAtMs === undefined) this.#pods.set(id, { ...pod, goneAtMs: nowMs })
      else if (pod.goneAtMs + keepGoneMs > nowMs) continue
      else this.#pods.delete(id)
      hasChanged = true
    }
    for (const [id, pod] of present) {
      const known = this.#pods.get(id)
      if (
        known !== undefined &&
        known.goneAtMs === undefined &&
        known.addresses.join() === pod.addresses.join()
      )
        continue
      this.#pods.set(id, pod)
      hasChanged = true
    }
    return hasChanged
  }

  #observePolicies(policies: Tables['policies']): boolean {
    let hasChanged = false
    for (const [id, policy] of policies) {
      const known = this.#policies.get(id)
      if (known?.name === policy.name && known.natLog === policy.natLog) continue
      this.#policies.delete(id)
      this.#policies.set(id, policy)
      hasChanged = true
    }
    for (const id of this.#policies.keys()) {
      if (this.#policies.size <= maxPolicies) break
      if (!policies.has(id)) this.#policies.delete(id)
    }
    return hasChanged
  }

  #write(): void {
    const pods = [...this.#pods].map(([id, pod]) => [id, { ...pod, sinceNs: String(pod.sinceNs) }] as const)
    const policies = [...this.#policies].map(([id, policy]) => [String(id), policy] as const)
    replaceFile(this.#path, JSON.stringify({ pods, policies } satisfies Known), 0o600)
  }

  #index(): void {
    this.#byAddress.clear()
    for (const pod of this.#pods.values())
      for (const address of pod.addresses)
        this.#byAddress.set(address, [...(this.#byAddress.get(address) ?? []), pod])
  }

  /** The pod that had the address at that time of CLOCK_MONOTONIC: the last that got it before. */
  pod(address: Address, atNs: bigint): Pick<KnownPod, 'namespace' | 'name'> | undefined {
    let found: KnownPod | undefined
    for (const pod of this.#byAddress.get(address) ?? [])
      if (pod.sinceNs <= atNs && pod.sinceNs >= (found?.sinceNs ?? 0n)) found = pod
    return found
  }

  policy(id: bigint): PolicyName | undefined {
    return this.#policies.get(id)
  }
}

/** What the file has. JSON has no such large numbers. */
interface Known {
  readonly pods: readonly (readonly [string, Omit<KnownPod, 'sinceNs'> & { readonly sinceNs: string }])[]
  readonly policies: readonly (readonly [string, PolicyName])[]
}

function readKnown(path: string): { pods: Map<string, KnownPod>; policies: Map<bigint, PolicyName> } {
  try {
    const { pods, policies } = JSON.parse(readFileSync(path, 'utf8')) as Known
    return {
      pods: new Map(pods.map(([id, pod]) => [id, { ...pod, sinceNs: BigInt(pod.sinceNs) }])),
      policies: new Map(policies.map(([id, policy]) => [BigInt(id), policy])),
    }
  } catch {
    return { pods: new Map(), policies: new Map() } /* the first start of this boot, or of the log */
  }
}
