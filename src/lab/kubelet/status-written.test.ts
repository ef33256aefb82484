import assert from 'node:assert/strict'
import { test } from 'node:test'
import { serverUnderTest } from '../../../test/support/server-under-test.ts'
import { coreResource } from '../../kube/cluster-objects.ts'
import { identify } from '../machines/machine.ts'
import type { RunningPod } from './containers/running-pods.ts'
import type { Pod } from './pod-spec.ts'
import { isWritten, podStatus } from './status.ts'

const { client } = await serverUnderTest()
const pods = client.resource<Pod>(coreResource('pods', true))
const at = { namespace: 'default', name: 'xwing' }
const startedAt = new Date().toISOString()
const container = { process: identify(process.pid), startedAt, restarts: 0 }
const running: RunningPod = {
  ...at,
  uid: 'u',
  startedAt,
  podIPs: ['10.244.1.7'],
  containers: { c: container },
}

test('a status is written only if it differs from what the API server has', async () => {
  const spec = { nodeName: 'kind-worker', containers: [{ name: 'c', image: 'busybox' }] }
  await pods.create({ apiVersion: 'v1', kind: 'Pod', metadata: at, spec } as unknown as Pod)
  for (const [now, isReady] of [
    [undefined, false],
    [running, false],
    [running, true],
  ] as const) {
    const read = async () => {
      const pod = await pods.get(at.name, at.namespace)
      const parts = { hostIP: '172.18.0.2', scheme: 'lab', waiting: new Map(), isOver: false }
      const of = () => isReady
      return { pod, status: podStatus(pod, { ...parts, running: now, isReady: of, hasStarted: of }) }
    }
    const before = await read()
    assert.equal(isWritten(before.status, before.pod.status), false)
    await pods.patch(at.name, 'merge', { status: before.status }, { namespace: at.namespace, subresource: 'status' })
    const after = await read()
    assert.ok(isWritten(after.status, after.pod.status), JSON.stringify([after.status, after.pod.status]))
  }
}) // biome-ignore format: one call a line
