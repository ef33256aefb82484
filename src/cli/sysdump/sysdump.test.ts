import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { gunzipSync } from 'node:zlib'
import { stringify } from 'yaml'
import { runCommand } from '../../../test/support/command-under-test.ts'
import { RunningServer } from '../../../test/support/running-server.ts'
import { renderCrd } from '../../api/crd.ts'
import { kinds } from '../../api/kinds.ts'
import { KubeClient, type KubeObject } from '../../kube/client.ts'
import { clusterResource, coreResource } from '../../kube/cluster-objects.ts'
import { archive } from './archive.ts'
import { redactText } from './redact.ts'

const scratch = mkdtempSync(join(tmpdir(), 'sallyport-sysdump-'))
after(() => rmSync(scratch, { recursive: true }))

/* Each is planted somewhere, and may be nowhere in the archive. */
const planted = {
  secret: 'planted-in-a-secret',
  environment: 'planted-in-an-environment',
  annotation: 'planted-in-an-annotation',
  applied: 'planted-in-last-applied',
  configMap: 'planted-in-a-configmap',
  otherPod: 'planted-in-a-pod-of-a-user',
}

test('an archive is what tar reads, with the texts as they were', () => {
  const path = join(scratch, 'some.tar.gz')
  const files = [
    { path: 'folder/a.txt', text: 'α\n' },
    { path: 'folder/b.txt', text: 'x'.repeat(513) },
    { path: 'folder/empty', text: '' },
  ]
  writeFileSync(path, archive(files, Date.now()))
  execFileSync('tar', ['-xzf', path, '-C', scratch])
  for (const { path: name, text } of files) assert.equal(readFileSync(join(scratch, name), 'utf8'), text)
})

test('what looks like a secret is taken out of a text, and the rest stays', () => {
  const jwt = `eyJ${'a'.repeat(20)}.eyJ${'b'.repeat(20)}.${'c'.repeat(20)}`
  for (const [text, rest] of [
    [`GET / with ${jwt}`, 'GET / with REDACTED'],
    ['Authorization: Bearer abcdef123456', 'Authorization: Bearer REDACTED'],
    ['{"token":"abc","node":"worker"}', '{"token":"REDACTED","node":"worker"}'],
    ['{"msg":"{\\"password\\": \\"abc\\"}"}', '{"msg":"{\\"password\\": \\"REDACTED\\"}"}'],
    ['client-key-data: LS0tLS1CRUdJTg==', 'client-key-data: REDACTED'],
    ['proxy http://user:pass@proxy:3128', 'proxy http://user:REDACTED@proxy:3128'],
    ['-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----', 'REDACTED'],
    ['10.244.1.7:40000 took the port 32768', '10.244.1.7:40000 took the port 32768'],
  ])
    assert.equal(redactText(text ?? ''), rest)
})

test('a sysdump has the objects of Sallyport, and nothing secret that is in the cluster', async () => {
  await using server = await RunningServer.open()
  await using client = new KubeClient(
    { server: server.url, ca: server.ca, token: () => server.adminToken },
    { userAgent: 'sallyport-test' },
  )
  await plant(client)
  const kubeconfig = join(scratch, 'kubeconfig')
  const cluster = {
    server: server.url,
    'certificate-authority-data': Buffer.from(server.ca).toString('base64'),
  }
  const text = stringify({
    clusters: [{ name: 'test', cluster }],
    users: [{ name: 'test', user: { token: server.adminToken } }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'test' } }],
    'current-context': 'test',
  })
  writeFileSync(kubeconfig, text)
  const path = join(scratch, 'dump.tar.gz')
  const { code, stderr } = await runCommand(['sysdump', '--output-filename', path], {
    KUBECONFIG: kubeconfig,
  })
  assert.equal(code, 0, stderr)
  assert.equal(statSync(path).mode & 0o777, 0o600)
  const bytes = gunzipSync(readFileSync(path)).toString('latin1')
  for (const wanted of [
    'objects/ciliumegressgatewaypolicies.json',
    '"shop-policy"',
    '"node-of-the-test"',
    '"tunnel-port": "8472"',
    '"VARIABLE"',
    'versions.json',
  ])
    assert.ok(bytes.includes(wanted), `${wanted} is not in the archive`)
  for (const secret of [
    ...Object.values(planted),
    server.adminToken,
    Buffer.from(planted.secret).toString('base64'),
  ])
    assert.ok(!bytes.includes(secret), `${secret} is in the archive`)
})

async function plant(client: KubeClient): Promise<void> {
  const create = (resource: Parameters<KubeClient['resource']>[0], object: object): Promise<unknown> =>
    client.resource<KubeObject>(resource).create(object as KubeObject)
  const definitions = {
    group: 'apiextensions.k8s.io',
    version: 'v1',
    plural: 'customresourcedefinitions',
    isNamespaced: false,
  }
  const policy = clusterResource(kinds.ciliumEgressGatewayPolicy)
  await create(definitions, renderCrd('ciliumEgressGatewayPolicy'))
  const inOurs = (name: string, more: object = {}) => ({
    metadata: { name, namespace: 'kube-system', ...more },
  })
  const variable = [{ name: 'VARIABLE', value: planted.environment }]
  const labels = { 'app.kubernetes.io/managed-by': 'sallyport' }
  await create(coreResource('secrets', true), {
    ...inOurs('hidden', { labels }),
    data: { it: Buffer.from(planted.secret).toString('base64') },
  })
  await create(coreResource('configmaps', true), {
    ...inOurs('sallyport-config'),
    data: { 'tunnel-port': '8472', other: planted.configMap },
  })
  await create(coreResource('nodes', false), {
    metadata: { name: 'node-of-the-test', annotations: { other: planted.annotation } },
  })
  await create(coreResource('pods', true), {
    ...inOurs('sallyport-x', {
      labels,
      annotations: { 'kubectl.kubernetes.io/last-applied-configuration': planted.applied },
    }),
    spec: { containers: [{ name: 'sallyport-agent', image: 'x', env: variable }] },
  })
  await create(coreResource('pods', true), {
    metadata: { name: 'web', namespace: 'default' },
    spec: { containers: [{ name: 'web', image: 'x', env: [{ name: 'A', value: planted.otherPod }] }] },
  })
  for (let tries = 0; ; tries++)
    try {
      await create(policy, {
        apiVersion: 'cilium.io/v2',
        kind: 'CiliumEgressGatewayPolicy',
        metadata: { name: 'shop-policy', annotations: { other: planted.annotation } },
        spec: {
          selectors: [{ podSelector: {} }],
          destinationCIDRs: ['0.0.0.0/0'],
          egressGateway: { nodeSelector: {} },
        },
      })
      return
    } catch (error) {
      if (tries > 20) throw error
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
}
