import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { credentialPlugin } from './credential-plugin.ts'

const directory = mkdtempSync(join(tmpdir(), 'sallyport-plugin-'))
after(() => rmSync(directory, { recursive: true }))

const v1 = 'client.authentication.k8s.io/v1'
const v1beta1 = 'client.authentication.k8s.io/v1beta1'
const asked = join(directory, 'asked')
const command = join(directory, 'plugin')
writeFileSync(
  command,
  `#!/bin/sh
printf '%s' "$KUBERNETES_EXEC_INFO" >${asked}
printf '%s' "\${ANSWER:-$1}"
exit "\${CODE:-0}"`,
)
chmodSync(command, 0o755)

const credential = (status: object, apiVersion = v1): string =>
  JSON.stringify({ apiVersion, kind: 'ExecCredential', status })
const exec = (answer: string, more: object = {}) => ({
  exec: { apiVersion: v1, command, args: [answer], interactiveMode: 'Never', ...more },
})
const ask = (user: object, cluster: object = {}, isTerminal = false) =>
  credentialPlugin({ cluster: { server: 'https://one:6443', ...cluster }, user } as never, isTerminal)()
const question = (): { readonly spec: Readonly<Record<string, unknown>> } =>
  JSON.parse(readFileSync(asked, 'utf8'))

describe('a credential plugin answers', () => {
  for (const [name, status, expected] of [
    ['a token', { token: 't' }, { token: 't', clientCertificate: undefined, expiresMs: Number.POSITIVE_INFINITY }],
    ['a token with an expiry', { token: 't', expirationTimestamp: '1970-01-01T00:00:02Z' }, { token: 't', clientCertificate: undefined, expiresMs: 2_000 }],
    ['an expiry with a time zone', { token: 't', expirationTimestamp: '1970-01-01T01:00:02+01:00' }, { token: 't', clientCertificate: undefined, expiresMs: 2_000 }],
    ['a certificate', { clientCertificateData: 'C', clientKeyData: 'K' }, { token: undefined, clientCertificate: { cert: 'C', key: 'K' }, expiresMs: Number.POSITIVE_INFINITY }],
  ] as const) // biome-ignore format: a table
    test(name, async () => assert.deepEqual(await ask(exec(credential(status))), expected))

  test('with the environment variables of the kubeconfig', async () => {
    const env = [{ name: 'ANSWER', value: credential({ token: 'from the environment' }) }]
    assert.equal((await ask(exec('', { env }))).token, 'from the environment')
  })
})

describe('the request to a credential plugin', () => {
  test('has the version of the kubeconfig, and describes the cluster only if the kubeconfig asks for it', async () => {
    await ask(exec(credential({ token: 't' }, v1beta1), { apiVersion: v1beta1 }))
    assert.deepEqual(question(), {
      apiVersion: v1beta1,
      kind: 'ExecCredential',
      spec: { interactive: false },
    })
  })

  test('has the cluster’s certificate authority and the content of its extension', async () => {
    const authority = join(directory, 'ca.crt')
    writeFileSync(authority, 'CA')
    await ask(exec(credential({ token: 't' }), { provideClusterInfo: true }), {
      'certificate-authority': authority,
      'tls-server-name': 'near',
      extensions: [{ name: 'client.authentication.k8s.io/exec', extension: { audience: 'a' } }],
    })
    assert.deepEqual(question().spec.cluster, {
      server: 'https://one:6443',
      'tls-server-name': 'near',
      'certificate-authority-data': btoa('CA'),
      config: { audience: 'a' },
    })
  })

  for (const [interactiveMode, isTerminal, expected] of [
    ['Never', true, false],
    ['IfAvailable', true, true],
    ['IfAvailable', false, false],
    ['Always', true, true],
  ] as const)
    test(`has interactive=${expected} for ${interactiveMode} ${isTerminal ? 'in' : 'without'} a terminal`, async () => {
      await ask(exec(credential({ token: 't' }), { interactiveMode }), {}, isTerminal)
      assert.equal(question().spec.interactive, expected)
    })

  test('is interactive by default in v1beta1', async () => {
    const user = exec(credential({ token: 't' }, v1beta1), {
      apiVersion: v1beta1,
      interactiveMode: undefined,
    })
    await ask(user, {}, true)
    assert.equal(question().spec.interactive, true)
  })
})

describe('an error explains', () => {
  for (const [name, user, expected] of [
    ['an old version', exec('', { apiVersion: 'client.authentication.k8s.io/v1alpha1' }), /exec\.apiVersion cannot be used.*v1 and .*v1beta1 are supported/],
    ['no interactiveMode in v1', exec('', { interactiveMode: undefined }), /no interactiveMode: write Never/],
    ['a plugin that needs a terminal', exec('', { interactiveMode: 'Always' }), /run this in a terminal/],
    ['a plugin that is not installed', exec('', { command: 'sallyport-no-such-plugin', installHint: 'Install it from the shop.' }), /sallyport-no-such-plugin does not run: .*ENOENT\nInstall it from the shop\./],
    ['a plugin that fails', exec('', { env: [{ name: 'CODE', value: '3' }] }), /failed with code 3/],
    ['an answer that is not JSON', exec('hello'), /answered no ExecCredential/],
    ['an answer in another version than requested', exec(credential({ token: 't' }, v1beta1)), /answered .*v1beta1, and the kubeconfig asks for .*v1$/],
    ['no credential', exec(credential({})), /neither a token nor a certificate/],
    ['a certificate without its key', exec(credential({ clientCertificateData: 'C' })), /a certificate without its key/],
    ['an expiry that is not a time', exec(credential({ token: 't', expirationTimestamp: 'soon' })), /status\.expirationTimestamp/],
  ] as const) // biome-ignore format: a table
    test(name, () => assert.rejects(async () => ask(user), expected))
})
