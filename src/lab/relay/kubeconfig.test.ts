import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { stringify } from 'yaml'
import { parseKubeconfig } from './kubeconfig.ts'

function kubeconfig(change: { cluster?: object; user?: object; current?: string } = {}): string {
  return stringify({
    clusters: [{ name: 'c', cluster: { server: 'https://far:6443/', ...change.cluster } }],
    users: [
      { name: 'u', user: { token: 't', ...change.user } },
      { name: 'nobody', user: {} },
    ],
    contexts: [
      { name: 'here', context: { cluster: 'c', user: 'u' } },
      { name: 'unsigned', context: { cluster: 'c', user: 'nobody' } },
      { name: 'broken', context: { cluster: 'gone', user: 'u' } },
    ],
    'current-context': change.current ?? 'here',
  })
}

const parse = (text: string, context?: string) => parseKubeconfig(text, '/etc/kube/config', context)

describe('what a kubeconfig gives', () => {
  test('server and token of its current context', () =>
    assert.deepEqual(parse(kubeconfig()), { access: { server: 'https://far:6443', token: 't' } }))

  test('certificates that are written in it', () => {
    const user = { 'client-certificate-data': btoa('CERT'), 'client-key-data': btoa('KEY') }
    const cluster = { 'certificate-authority-data': btoa('CA') }
    assert.deepEqual(parse(kubeconfig({ user, cluster })), {
      access: {
        server: 'https://far:6443',
        ca: 'CA',
        token: 't',
        clientCertificate: { cert: 'CERT', key: 'KEY' },
      },
    })
  })

  test('a file is found beside the kubeconfig', () =>
    assert.deepEqual(parse(kubeconfig({ user: { tokenFile: 'token' } })), {
      access: { server: 'https://far:6443', token: 't', tokenFile: '/etc/kube/token' },
    }))

  test('what it says about the server’s certificate', () => {
    const cluster = { 'insecure-skip-tls-verify': true, 'tls-server-name': 'near' }
    assert.deepEqual(parse(kubeconfig({ cluster })), {
      access: { server: 'https://far:6443', skipsTlsVerify: true, tlsServerName: 'near', token: 't' },
    })
  })
})

describe('what a kubeconfig is refused for', () => {
  const cases: readonly { name: string; text: string; context?: string; issue: RegExp }[] = [
    {
      name: 'no current context',
      text: kubeconfig({ current: '' }),
      issue: /no current context: give --con/,
    },
    { name: 'a context that is not there', text: kubeconfig(), context: 'x', issue: /no context x/ },
    { name: 'a context without its cluster', text: kubeconfig(), context: 'broken', issue: /not in it/ },
    { name: 'no credentials', text: kubeconfig(), context: 'unsigned', issue: /neither a token nor/ },
    {
      name: 'a plugin for credentials',
      text: kubeconfig({ user: { exec: { command: 'aws' } } }),
      issue: /no credential plugins/,
    },
    {
      name: 'plain HTTP, where everybody may do the same',
      text: kubeconfig({ cluster: { server: 'http://127.0.0.1:8001' } }),
      issue: /begins with https/,
    },
    {
      name: 'a proxy on the way',
      text: kubeconfig({ cluster: { 'proxy-url': 'http://proxy' } }),
      issue: /dials the server itself/,
    },
    { name: 'nothing in it', text: '', issue: /no current context/ },
  ]
  for (const { name, text, context, issue } of cases)
    test(name, () => {
      const parsed = parse(text, context)
      assert.ok('issues' in parsed)
      assert.match(parsed.issues.join('; '), issue)
    })

  test('all that is wrong is said at once', () => {
    const parsed = parse(kubeconfig({ user: { exec: {}, as: 'x' }, cluster: { server: 'http://far' } }))
    assert.equal('issues' in parsed && parsed.issues.length, 3)
  })
})
