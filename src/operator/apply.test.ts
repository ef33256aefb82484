import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ciliumPolicy, isovalentPolicy, world } from '../../test/support/world-builder.ts'
import type { IsovalentEgressGatewayPolicy } from '../api/isovalent-egress-gateway-policy.ts'
import { explainPolicies } from '../decide/status/status.ts'
import type { KubeClient } from '../kube/client.ts'
import { KubeError } from '../kube/kube-error.ts'
import { Attempts } from '../runtime/attempts.ts'
import { systemClock } from '../runtime/clock.ts'
import { createLog } from '../runtime/log.ts'
import { applyPolicyStatus, applySlots } from './apply.ts'
import { StatuslessKinds } from './missing-status.ts'

const now = '2026-01-02T00:00:00Z'
const newStatusless = (clock = systemClock): StatuslessKinds =>
  new StatuslessKinds(clock, createLog('test', 'silent'))
type Patch = {
  metadata: { resourceVersion: string }
  status: NonNullable<IsovalentEgressGatewayPolicy['status']>
}

/** Writes the status of one policy; what was asked of the API server, and what counts as changed. */
async function write(object: IsovalentEgressGatewayPolicy, answer: () => void = () => {}) {
  const patches: Patch[] = []
  const client = {
    resource: () => ({
      patch: async (_name: string, _type: string, body: Patch) => {
        patches.push(body)
        answer()
      },
    }),
  } as unknown as KubeClient
  const any = world({ isovalentPolicies: [object] })
  const attempts = new Attempts()
  const changes = await applyPolicyStatus(client, any, explainPolicies(any), {
    attempts,
    statusless: newStatusless(),
    now,
  })
  attempts.finish()
  return { patches, changes }
}

const policy: IsovalentEgressGatewayPolicy = {
  ...isovalentPolicy('p', { egressCIDRs: ['172.18.9.0/29'] }),
  metadata: { ...isovalentPolicy('p').metadata, resourceVersion: '7' },
}

test('a status is written only if its object has not changed since it was read', async () => {
  const { patches, changes } = await write(policy)
  assert.equal(patches[0]?.metadata.resourceVersion, '7')
  assert.deepEqual(patches[0]?.status.groupStatuses?.[0]?.egressIPByGatewayIP, {
    '172.18.0.4': '172.18.9.1',
    '172.18.0.3': '172.18.9.2',
  })
  assert.equal(changes.length, 1)
})

test('an unchanged status is not written again, in any order of its fields, and with fields of other writers', async () => {
  const { patches } = await write(policy)
  const sorted = JSON.parse(JSON.stringify(patches[0]?.status), (_key, value: unknown) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  ) as Patch['status']
  const again = await write({ ...policy, status: { ...sorted, foreign: 1 } as Patch['status'] })
  assert.deepEqual([again.patches, again.changes], [[], []])
})

test('a write that the API server refuses because the object has changed has no effect', async () => {
  const { patches, changes } = await write(policy, () => {
    throw new KubeError('patch', 409, { reason: 'Conflict' })
  })
  assert.deepEqual([patches.length, changes], [1, []])
})

test('a refused status is reported, prevents no other policy’s status, and causes no Event', async () => {
  const client = {
    resource: () => ({
      patch: async (name: string) => {
        if (name !== 'younger')
          throw new KubeError('patch', 422, { reason: 'Invalid', message: `${name} is too long` })
      },
    }),
  } as unknown as KubeClient
  const any = world({
    ciliumPolicies: [ciliumPolicy('old', { born: 0 }), ciliumPolicy('older', { born: 1 })],
    isovalentPolicies: [isovalentPolicy('younger', { born: 2, egressCIDRs: ['172.18.9.0/29'] })],
  })
  const attempts = new Attempts()
  const changes = await applyPolicyStatus(client, any, explainPolicies(any), {
    attempts,
    statusless: newStatusless(),
    now,
  })
  assert.deepEqual(
    changes.map(({ object }) => object.metadata.name),
    ['younger'],
  )
  assert.throws(() => attempts.finish(), /patch: old is too long; and 1 more/)
})

test('a kind that another product defined without a status gets one request in ten minutes, not one for each policy', async () => {
  let [asked, nowMs] = [0, 0]
  const client = {
    resource: () => ({
      patch: async () => {
        asked++
        throw new KubeError('patch', 404, { reason: 'NotFound', details: {} })
      },
    }),
  } as unknown as KubeClient
  const any = world({ ciliumPolicies: [ciliumPolicy('a', { born: 0 }), ciliumPolicy('b', { born: 1 })] })
  const statusless = newStatusless({ ...systemClock, monotonicMs: () => nowMs })
  const pass = async (): Promise<number> => {
    const attempts = new Attempts()
    await applyPolicyStatus(client, any, explainPolicies(any), { attempts, statusless, now })
    attempts.finish()
    return asked
  }
  assert.deepEqual([await pass(), await pass()], [1, 1])
  nowMs = 600_000
  assert.equal(await pass(), 2)
})

test('a policy that was deleted meanwhile does not make its kind count as one without status', async () => {
  const gone = { reason: 'NotFound', details: { name: 'p' } }
  const { patches } = await write(policy, () => {
    throw new KubeError('patch', 404, gone)
  })
  assert.equal(patches.length, 1)
})

test('an EgressNode is deleted only if its uid is the one that was read, because its node may have returned with a new one', async () => {
  const asked: unknown[] = []
  const client = {
    resource: () => ({ delete: async (...words: unknown[]) => void asked.push(words) }),
  } as unknown as KubeClient
  const egressNode = { metadata: { name: 'gone', uid: 'of the one that was read' } }
  const attempts = new Attempts()
  await applySlots(client, [{ action: 'remove', egressNode }], attempts, createLog('test', 'silent'))
  assert.deepEqual(asked, [['gone', { uid: 'of the one that was read' }]])
})
