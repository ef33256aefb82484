import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { stringify } from 'yaml'
import { readAccess, withCluster } from './cluster.ts'

const directory = mkdtempSync(join(tmpdir(), 'sallyport-cluster-'))
after(() => rmSync(directory, { recursive: true }))
const kubeconfig = join(directory, 'config')
writeFileSync(
  kubeconfig,
  stringify({
    'current-context': 'mine',
    contexts: [{ name: 'mine', context: { cluster: 'mine', user: 'mine' } }],
    clusters: [{ name: 'mine', cluster: { server: 'https://mine:6443' } }],
    users: [{ name: 'mine', user: { token: 't' } }],
  }),
)

test('an error on this machine is not reported as an error of the API server', async (context) => {
  const before = process.env.KUBECONFIG
  context.after(() => {
    if (before === undefined) delete process.env.KUBECONFIG
    else process.env.KUBECONFIG = before
  })
  process.env.KUBECONFIG = kubeconfig
  const lacking = withCluster(async () => {
    throw Object.assign(new Error('no such file: values.yaml'), { code: 'ENOENT' })
  })
  await assert.rejects(lacking, /^Error: no such file: values\.yaml$/)
  const silent = withCluster(async () => {
    throw Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' })
  })
  await assert.rejects(silent, /https:\/\/mine:6443 does not answer: connect ECONNREFUSED/)
})

test('a command in a pod uses the service account, unless KUBECONFIG is set', async (context) => {
  const before = { ...process.env }
  context.after(() => {
    process.env = before
  })
  delete process.env.KUBECONFIG
  Object.assign(process.env, { KUBERNETES_SERVICE_HOST: '192.0.2.1', KUBERNETES_SERVICE_PORT: '443' })
  assert.equal((await readAccess()).server, 'https://192.0.2.1:443')
  process.env.KUBECONFIG = kubeconfig
  assert.equal((await readAccess()).server, 'https://mine:6443')
})
