import { daemonSetsName } from './cluster.ts'
import { hasEnded, type OwnedPods } from './owned-pods.ts'
import {
  hashLabel,
  isPodReady,
  type NodeObject,
  type PodObject,
  refusal,
  templateHash,
  type Workload,
} from './workload.ts'

/** Keeps one pod on each node that the DaemonSet tolerates. A new template reaches one node at a time. */
export async function tendDaemonSet(
  pods: OwnedPods,
  daemonSet: Workload,
  nodes: readonly NodeObject[],
): Promise<void> {
  const owned = pods.of(daemonSet)
  const hash = templateHash(daemonSet)
  const wanted = nodes.filter((node) => refusal({ spec: daemonSet.spec.template.spec }, node) === undefined)
  for (const {
    metadata: { name },
  } of wanted) {
    const here = owned.filter(({ spec }) => spec.nodeName === name)
    for (const pod of here.filter(hasEnded)) await pods.remove(pod)
    if (here.length === 0) await pods.create(daemonSet, 'DaemonSet', name, name)
    else pods.noteSeen(daemonSet, name)
  }
  const names = new Set(wanted.map(({ metadata }) => metadata.name))
  for (const pod of owned) if (!names.has(pod.spec.nodeName ?? '')) await pods.remove(pod)
  await rollOut(pods, owned, hash, wanted.length)
  await pods.report(daemonSetsName, daemonSet, {
    desiredNumberScheduled: wanted.length,
    currentNumberScheduled: owned.length,
    numberReady: owned.filter(isPodReady).length,
    numberAvailable: owned.filter(isPodReady).length,
    updatedNumberScheduled: owned.filter((pod) => pod.metadata.labels?.[hashLabel] === hash).length,
    numberMisscheduled: 0,
    observedGeneration: daemonSet.metadata.generation,
  })
}

/** As a real controller does, it replaces an old pod that is not ready at once. Such a pod does not count as unavailable. */
async function rollOut(
  pods: OwnedPods,
  owned: readonly PodObject[],
  hash: string,
  wanted: number,
): Promise<void> {
  const isLeaving = (pod: PodObject): boolean => pod.metadata.deletionTimestamp !== undefined
  const outdated = owned.filter((pod) => !isLeaving(pod) && pod.metadata.labels?.[hashLabel] !== hash)
  for (const pod of outdated.filter((each) => !isPodReady(each))) await pods.remove(pod)
  const isComplete = owned.length >= wanted && owned.every((pod) => !isLeaving(pod) && isPodReady(pod))
  const [next] = outdated
  if (isComplete && next !== undefined) await pods.remove(next)
}
