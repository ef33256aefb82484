import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { serverUnderTest } from '../../../test/support/server-under-test.ts'
import { configMapData } from '../../install/configuration.ts'
import { defaultNames, namespace } from '../../install/manifest.ts'
import { renderInstall } from '../../install/manifests.ts'
import type { KubeObject } from '../../kube/client.ts'
import { coreResource } from '../../kube/cluster-objects.ts'
import { applyManifest } from './install.ts'
import { uninstall } from './uninstall.ts'

const { client } = await serverUnderTest()

test('an uninstall that abandons nodes names a NotReady node and does not wait for it', {
  timeout: 60_000,
}, async () => {
  for (const manifest of renderInstall(configMapData({}), defaultNames)) await applyManifest(client, manifest)
  const recorded = JSON.parse(
    readFileSync(new URL('../trouble/recorded-pods.json', import.meta.url), 'utf8'),
  ) as { readonly nodes: readonly [{ readonly status: object }] }
  const nodes = client.resource<KubeObject>(coreResource('nodes', false))
  await nodes.create({ metadata: { name: 'n2' } })
  await nodes.patch('n2', 'merge', { status: recorded.nodes[0].status }, { subresource: 'status' })
  const labels = { 'app.kubernetes.io/managed-by': 'sallyport', 'k8s-app': 'sallyport' }
  const spec = { nodeName: 'n2', containers: [{ name: 'c', image: 'none' }] }
  await client
    .resource<KubeObject>(coreResource('pods', true))
    .create({ metadata: { name: 'sallyport-2', namespace, labels }, spec } as KubeObject)
  const lines: string[] = []
  const print = (line: string): void => void lines.push(line)
  await uninstall(client, { isPurge: false, isConfirmed: true, abandonsNodes: true, print })
  assert.ok(lines.includes('node n2 is NotReady (Kubelet stopped posting node status). It is not cleaned.'))
  assert.ok(lines.includes('daemonset.apps/sallyport-clean-up deleted'), lines.join('\n'))
  assert.ok(!lines.some((line) => line.startsWith('waiting for')), lines.join('\n'))
})
