import type { ResourceName } from '../../kube/client.ts'
import { isAlreadyExists, isNotFound } from '../../kube/kube-error.ts'
import { isSameJson } from '../cluster/same-json.ts'
import { type Cluster, podsName } from './cluster.ts'
import { isOwnedBy, type PodObject, podOf, type Workload } from './workload.ts'

/** How long a created pod may take to appear in the mirror. */
const expectationMs = 5_000

/** The pods of workloads: made once for each slot, and taken away. */
export class OwnedPods {
  readonly #cluster: Cluster
  /**
   * Pods that were created and are not in the mirror yet. The controller waits for them, because it must not create them
   * twice.
   */
  readonly #expectedUntilMs = new Map<string, number>()

  constructor(cluster: Cluster) {
    this.#cluster = cluster
  }

  of(workload: Workload): readonly PodObject[] {
    return this.#cluster.pods().filter((pod) => isOwnedBy(pod, workload))
  }

  async create(workload: Workload, kind: string, nodeName: string | undefined, slot: string): Promise<void> {
    const key = `${workload.metadata.uid}/${slot}`
    if ((this.#expectedUntilMs.get(key) ?? 0) > Date.now()) return
    this.#expectedUntilMs.set(key, Date.now() + expectationMs)
    await this.#cluster.client
      .resource<PodObject>(podsName)
      .create(podOf(workload, kind, nodeName) as PodObject, { fieldManager: 'kube-controller-manager' })
      .catch((error: unknown) => {
        if (!isAlreadyExists(error)) throw error
      })
  }

  /** The slot's pod has been seen: when it goes, another may be made at once. */
  noteSeen(workload: Workload, slot: string): void {
    this.#expectedUntilMs.delete(`${workload.metadata.uid}/${slot}`)
  }

  async remove(pod: PodObject): Promise<void> {
    if (pod.metadata.deletionTimestamp !== undefined) return
    await this.#cluster.client
      .resource(podsName)
      .delete(pod.metadata.name, { namespace: pod.metadata.namespace ?? '' })
      .catch((error: unknown) => {
        if (!isNotFound(error)) throw error
      })
  }

  async report(name: ResourceName, workload: Workload, status: object): Promise<void> {
    if (isSameJson(workload.status, status)) return
    const { name: object, namespace = '' } = workload.metadata
    await this.#cluster.client
      .resource(name)
      .patch(
        object,
        'merge',
        { status },
        { namespace, subresource: 'status', fieldManager: 'kube-controller-manager' },
      )
      .catch((error: unknown) => {
        if (!isNotFound(error)) throw error
      })
  }
}

export function hasEnded(pod: PodObject): boolean {
  return pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed'
}
