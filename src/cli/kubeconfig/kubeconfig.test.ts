import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { stringify } from 'yaml'
import type { ClusterAccess } from '../../kube/access.ts'
import { readAccess } from '../cluster.ts'

const directory = mkdtempSync(join(tmpdir(), 'sallyport-kubeconfig-'))
after(() => rmSync(directory, { recursive: true }))

interface Parts {
  readonly current?: string
  readonly cluster?: object
  readonly user?: object
}

/** Writes a kubeconfig with one context, cluster and user, all with the file's name. */
function write(name: string, { current, cluster, user }: Parts): string {
  const path = join(directory, name)
  mkdirSync(join(path, '..'), { recursive: true })
  const config = {
    ...(current === undefined ? {} : { 'current-context': current }),
    contexts: [{ name, context: { cluster: name, user: name } }],
    clusters: [{ name, cluster: { server: `https://${name}:6443`, ...cluster } }],
    users: [{ name, user: user ?? { token: name } }],
  }
  writeFileSync(path, stringify(config))
  return path
}

const read = ({ cluster, user }: Parts): Promise<ClusterAccess> =>
  readAccess(
    write('one', {
      current: 'one',
      ...(cluster === undefined ? {} : { cluster }),
      ...(user === undefined ? {} : { user }),
    }),
  )

describe('several kubeconfigs', () => {
  test('use the first current context, even if another file defines it', async () => {
    const [first, second] = [write('first', {}), write('second', { current: 'first' })]
    assert.equal((await readAccess(first, second)).server, 'https://first:6443')
    assert.equal((await readAccess(second, first)).server, 'https://first:6443')
  })

  test('may include files that do not exist', async () => {
    const access = await readAccess(join(directory, 'none'), write('there', { current: 'there' }))
    assert.equal(access.token(), 'there')
    await assert.rejects(readAccess(join(directory, 'none')), /there is no kubeconfig at .*none/)
  })

  test('each resolve relative paths against their own folder', async () => {
    const far = write('folder/far', { user: { tokenFile: 'token' } })
    writeFileSync(join(directory, 'folder/token'), 'from the file\n')
    const access = await readAccess(write('near', { current: 'folder/far' }), far)
    assert.equal(access.token(), 'from the file')
  })

  test('each names a credential plugin beside itself', async () => {
    const exec = {
      apiVersion: 'client.authentication.k8s.io/v1',
      command: './plugin',
      interactiveMode: 'Never',
    }
    const path = write('folder/plugged', { current: 'folder/plugged', user: { exec } })
    const credential = `{"apiVersion":"${exec.apiVersion}","kind":"ExecCredential","status":{"clientCertificateData":"C","clientKeyData":"K"}}`
    writeFileSync(join(directory, 'folder/plugin'), `#!/bin/sh\necho '${credential}'`, { mode: 0o755 })
    const access = await readAccess(path)
    assert.equal(await access.token(), undefined)
    assert.deepEqual(access.clientCertificate, { cert: 'C', key: 'K' })
  })
})

test('a user without credentials is anonymous', async () => {
  assert.equal((await read({ user: {} })).token(), undefined)
})

describe('the command reads from a kubeconfig', () => {
  for (const [name, parts, expected] of [
    ['how to check the server’s certificate', { cluster: { 'insecure-skip-tls-verify': true, 'tls-server-name': 'near' } }, { skipsTlsVerify: true, tlsServerName: 'near' }],
    ['the user and groups to impersonate', { user: { token: 't', as: 'jane', 'as-groups': ['staff'] } }, { impersonate: { user: 'jane', groups: ['staff'] } }],
    ['inline certificates', { cluster: { 'certificate-authority-data': btoa('CA') }, user: { 'client-certificate-data': btoa('CERT'), 'client-key-data': btoa('KEY') } }, { ca: 'CA', clientCertificate: { cert: 'CERT', key: 'KEY' } }],
    ['a server URL that ends with a slash', { cluster: { server: 'https://far/k8s/' } }, { server: 'https://far/k8s' }],
  ] as const) // biome-ignore format: a table
    test(name, async () => {
      const { token: _, ...access } = await read(parts)
      assert.deepEqual({ ...access, ...expected }, access)
    })
})

describe('the command refuses a kubeconfig with', () => {
  for (const [name, parts, expected] of [
    ['a proxy', { cluster: { 'proxy-url': 'http://proxy:3128' } }, /cluster has proxy-url, which this command does not support/],
    ['an authentication provider', { user: { 'auth-provider': { name: 'oidc' } } }, /user has an auth-provider.*use a credential plugin/],
    ['a password', { user: { username: 'u', password: 'p' } }, /user has username/],
    ['more than a name and groups to impersonate', { user: { token: 't', as: 'jane', 'as-uid': '1' } }, /user has as-uid/],
  ] as const) // biome-ignore format: a table
    test(name, () => assert.rejects(read(parts), expected))
})
