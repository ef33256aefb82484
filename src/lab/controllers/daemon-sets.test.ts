import assert from 'node:assert/strict'
import { test } from 'node:test'
import { tendDaemonSet } from './daemon-sets.ts'
import type { OwnedPods } from './owned-pods.ts'
import { hashLabel, type NodeObject, type PodObject, templateHash, type Workload } from './workload.ts'

const daemonSet = {
  metadata: { name: 'agent', namespace: 'kube-system', uid: 'u', generation: 2 },
  spec: { selector: {}, template: { spec: { containers: [] } } },
} as unknown as Workload
const current = templateHash(daemonSet)
const nodes = ['a', 'b', 'c'].map((name) => ({ metadata: { name } }) as unknown as NodeObject)

const pod = (nodeName: string, isCurrent: boolean, isReady: boolean): PodObject =>
  ({
    metadata: { name: nodeName, labels: { [hashLabel]: isCurrent ? current : 'old' } },
    spec: { nodeName },
    status: { phase: 'Running', conditions: [{ type: 'Ready', status: isReady ? 'True' : 'False' }] },
  }) as unknown as PodObject

/** The nodes whose pods are removed. */
async function removedOf(...owned: readonly PodObject[]): Promise<readonly string[]> {
  const removed: string[] = []
  const pods = {
    of: () => owned,
    create: async () => {},
    noteSeen: () => {},
    remove: async ({ metadata }: PodObject) => void removed.push(metadata.name),
    report: async () => {},
  }
  await tendDaemonSet(pods as unknown as OwnedPods, daemonSet, nodes)
  return removed
}

test('a rollout takes one ready pod at a time', async () => {
  assert.deepEqual(await removedOf(pod('a', false, true), pod('b', false, true), pod('c', true, true)), ['a'])
})

test('a rollout waits while a new pod is not ready, or not there yet', async () => {
  assert.deepEqual(await removedOf(pod('a', false, true), pod('b', true, false), pod('c', true, true)), [])
  assert.deepEqual(await removedOf(pod('a', false, true), pod('b', true, true)), [])
})

test('old pods that are not ready go at once, so that a broken rollout can be mended', async () => {
  const broken = [pod('a', false, false), pod('b', false, false)]
  assert.deepEqual(await removedOf(...broken, pod('c', false, true)), ['a', 'b'])
})
