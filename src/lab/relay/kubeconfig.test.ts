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

describe('the relay reads from a kubeconfig', () => {
  test('the server and token of its current context', () =>
    assert.deepEqual(parse(kubeconfig()), { access: { server: 'https://far:6443', token: 't' } }))

  test('inline certificates', () => {
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

  test('a token file relative to the kubeconfig', () =>
    assert.deepEqual(parse(kubeconfig({ user: { tokenFile: 'token' } })), {
      access: { server: 'https://far:6443', token: 't', tokenFile: '/etc/kube/token' },
    }))

  test('the fields about the server’s certificate', () => {
    const cluster = { 'insecure-skip-tls-verify': true, 'tls-server-name': 'near' }
    assert.deepEqual(parse(kubeconfig({ cluster })), {
      access: { server: 'https://far:6443', skipsTlsVerify: true, tlsServerName: 'near', token: 't' },
    })
  })
})

describe('the relay refuses a kubeconfig with', () => {
  const cases: readonly { name: string; text: string; context?: string; issue: RegExp }[] = [
    {
      name: 'no current context',
      text: kubeconfig({ current: '' }),
      issue: /no current context: give --con/,
    },
    { name: 'a missing context', text: kubeconfig(), context: 'x', issue: /no context x/ },
    {
      name: 'a context without its cluster',
      text: kubeconfig(),
      context: 'broken',
      issue: /does not define/,
    },
    { name: 'no credentials', text: kubeconfig(), context: 'unsigned', issue: /neither a token nor/ },
    {
      name: 'a credential plugin',
      text: kubeconfig({ user: { exec: { command: 'aws' } } }),
      issue: /does not run credential plugins/,
    },
    {
      name: 'a plain HTTP server',
      text: kubeconfig({ cluster: { server: 'http://127.0.0.1:8001' } }),
      issue: /does not begin with https/,
    },
    {
      name: 'a proxy',
      text: kubeconfig({ cluster: { 'proxy-url': 'http://proxy' } }),
      issue: /does not use a proxy/,
    },
    { name: 'no content', text: '', issue: /no current context/ },
  ]
  for (const { name, text, context, issue } of cases)
    test(name, () => {
      const parsed = parse(text, context)
      assert.ok('issues' in parsed)
      assert.match(parsed.issues.join('; '), issue)
    })

  test('several issues, and names all of them at once', () => {
    const parsed = parse(kubeconfig({ user: { exec: {}, as: 'x' }, cluster: { server: 'http://far' } }))
    assert.equal('issues' in parsed && parsed.issues.length, 3)
  })
})
