import assert from 'node:assert/strict'
import { test } from 'node:test'
import { podOf, type Workload } from './workload.ts'

const template = {
  metadata: { labels: { app: 'web' }, annotations: { 'kubectl.kubernetes.io/default-container': 'server' } },
  spec: { containers: [{ name: 'server', image: 'server' }] },
}
const workload = {
  metadata: { name: 'web', namespace: 'default', uid: 'uid-of-web' },
  spec: { selector: { matchLabels: { app: 'web' } }, template },
} as unknown as Workload

test('a pod has the labels and the annotations of its template', () => {
  const { metadata } = podOf(workload, 'ReplicaSet', undefined)
  assert.equal(metadata.labels?.app, 'web')
  assert.deepEqual(metadata.annotations, template.metadata.annotations)
})
