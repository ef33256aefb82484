import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { EgressAddress } from '../api/egress-address.ts'
import type { KubeClient } from '../kube/client.ts'
import { KubeError } from '../kube/kube-error.ts'
import { releaseAddress } from './release-address.ts'

const lingering: EgressAddress = {
  metadata: { name: '192-0-2-42' },
  spec: { address: '192.0.2.42' },
  status: {
    lingering: { connections: 3, nodes: ['a'] },
    conditions: [
      { type: 'Lingering', status: 'True', reason: 'ConnectionsLeft', message: '', lastTransitionTime: '' },
    ],
  },
}

/** An API server with these objects, one answer after the other, and what was written to it. */
function cluster(...answers: readonly (EgressAddress | undefined)[]) {
  const written: unknown[] = []
  let asked = 0
  const client = {
    resource: () => ({
      get: async () => {
        const answer = answers[Math.min(asked++, answers.length - 1)]
        if (answer === undefined) throw new KubeError('get', 404, { reason: 'NotFound' })
        return answer
      },
      patch: async (...words: unknown[]) => void written.push(words),
    }),
  } as unknown as KubeClient
  return { client, written }
}

const quickly = { timeoutMs: 20, pollMs: 1, clock: { sleep: async () => {} } }
const { status: _status, ...inUse } = lingering

test('an egress IP that lingers is marked, and the command ends when no node keeps it', async () => {
  const { client, written } = cluster(lingering, lingering, inUse)
  const told = await releaseAddress(client, '192.0.2.42', quickly)
  assert.equal(told, 'Egress IP 192.0.2.42 is released. It had about 3 connections.')
  assert.deepEqual(written, [['192-0-2-42', 'merge', { spec: { isReleased: true } }]])
})

test('an egress IP that a policy uses, or that is unknown, is not touched', async () => {
  for (const answer of [inUse, undefined]) {
    const { client, written } = cluster(answer)
    await assert.rejects(
      releaseAddress(client, '192.0.2.42', quickly),
      /does not linger.*kubectl get egressaddresses/,
    )
    assert.deepEqual(written, [])
  }
  await assert.rejects(releaseAddress(cluster().client, 'here', quickly), /here is not an IP address/)
})

test('a node that does not end it is reported', async () => {
  await assert.rejects(
    releaseAddress(cluster(lingering).client, '192.0.2.42', quickly),
    /some node still keeps it/,
  )
})
