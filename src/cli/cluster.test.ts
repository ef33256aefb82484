import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { stringify } from 'yaml'
import { withCluster } from './cluster.ts'

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

test('what a command lacks on this machine is not blamed on the server', async (context) => {
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
