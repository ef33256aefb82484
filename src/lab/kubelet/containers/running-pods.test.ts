import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Pod } from '../pod-spec.ts'
import { containersDue, type RunningPod } from './running-pods.ts'

test('init containers run one after the other, each until it has ended well, and then what the pod is for', () => {
  const named = (name: string) => ({ name, image: 'busybox' })
  const pod: Pod = {
    metadata: { name: 'p' },
    spec: { initContainers: [named('first'), named('second')], containers: [named('main'), named('beside')] },
  }
  const due = (codes: Readonly<Record<string, number | undefined>>): string => {
    const containers = Object.fromEntries(
      Object.entries(codes).map(([name, code]) => [
        name,
        { process: { pid: 1, startedAt: '' }, startedAt: '', restarts: 0, ...(code === undefined ? {} : { ended: { code, at: '' } }) },
      ]),
    ) // biome-ignore format: a line a container
    const running: RunningPod = { uid: '', namespace: '', name: 'p', podIPs: [], startedAt: '', containers }
    return containersDue(pod, running)
      .map(({ name }) => name)
      .join()
  }
  assert.equal(due({}), 'first')
  assert.equal(due({ first: undefined }), 'first')
  assert.equal(due({ first: 1 }), 'first')
  assert.equal(due({ first: 0 }), 'second')
  assert.equal(due({ first: 0, second: 0 }), 'main,beside')
})
