import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { cleanUpDaemonSet } from '../../install/agent-manifests.ts'
import { configMapData } from '../../install/configuration.ts'
import type { KubeClient } from '../../kube/client.ts'
import { KubeError } from '../../kube/kube-error.ts'
import { applyManifest } from './install.ts'

/** The request body that a server of this version receives. */
async function applied(gitVersion: string): Promise<string> {
  let sent = ''
  const client = {
    json: async () => ({ gitVersion }),
    resource: () => ({
      get: async () => {
        throw new KubeError('GET', 404, {})
      },
      apply: async (object: object) => {
        sent = JSON.stringify(object)
        return { metadata: {} }
      },
    }),
  } as unknown as KubeClient
  await applyManifest(client, cleanUpDaemonSet(configMapData({})))
  return sent
}

describe('a field that came with Kubernetes 1.30', () => {
  for (const [version, isSent] of [
    ['v1.28.15', false],
    ['v1.29.9-gke.100', false],
    ['v1.30.0', true],
    ['v1.33.1+k3s1', true],
  ] as const)
    test(`is ${isSent ? 'sent' : 'not sent'} to ${version}`, async () => {
      const sent = await applied(version)
      assert.equal(sent.includes('"appArmorProfile"'), isSent)
      assert.match(sent, /"container\.apparmor\.security\.beta\.kubernetes\.io\/clean-up":"unconfined"/)
      assert.match(sent, /"readOnlyRootFilesystem":true/)
    })
})
