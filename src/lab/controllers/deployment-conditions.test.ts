import assert from 'node:assert/strict'
import { test } from 'node:test'
import { deploymentConditions } from './deployment-conditions.ts'

const replicaSet = 'web-b888cd47'
const [early, late] = ['2026-01-01T00:00:00Z', '2026-01-01T00:01:00Z']

test('a Deployment that starts says what a real one says', () => {
  assert.deepEqual(deploymentConditions([], { isAvailable: false, isComplete: false, replicaSet }, early), [
    {
      type: 'Available',
      status: 'False',
      lastUpdateTime: early,
      lastTransitionTime: early,
      reason: 'MinimumReplicasUnavailable',
      message: 'Deployment does not have minimum availability.',
    },
    {
      type: 'Progressing',
      status: 'True',
      lastUpdateTime: early,
      lastTransitionTime: early,
      reason: 'ReplicaSetUpdated',
      message: 'ReplicaSet "web-b888cd47" is progressing.',
    },
  ])
})

test('times change with the condition alone', () => {
  const started = deploymentConditions([], { isAvailable: false, isComplete: false, replicaSet }, early)
  const done = { isAvailable: true, isComplete: true, replicaSet }
  const [available, progressing] = deploymentConditions(started, done, late)
  assert.equal(available?.lastTransitionTime, late)
  assert.equal(progressing?.reason, 'NewReplicaSetAvailable')
  assert.deepEqual([progressing?.lastTransitionTime, progressing?.lastUpdateTime], [early, late])
  const settled = deploymentConditions(started, done, early)
  assert.deepEqual(deploymentConditions(settled, done, late), settled)
})
