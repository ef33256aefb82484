import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { User } from '../apiserver/access/access.ts'
import {
  type Credentials,
  credentialsFor,
  forwardedHeaders,
  type Headers,
  withCredentials,
} from './credentials.ts'

const user = (name: string, ...groups: string[]): User => ({ name, uid: '', groups })

const labTokens = new Map([
  ['admin-token', user('admin', 'system:masters')],
  ['controllers-token', user('system:kube-controller-manager')],
  ['n1-token', user('system:node:n1', 'system:nodes')],
])

const asCaller: Credentials = { as: 'caller' }
const asKubeconfig: Credentials = { as: 'kubeconfig' }
const asN1: Credentials = { as: 'node', user: 'system:node:n1', groups: ['system:nodes'] }

describe('the relay chooses the identity of a request from', () => {
  const cases: readonly {
    name: string
    authorization: readonly string[] | undefined
    mayImpersonate?: boolean
    expect: Credentials
  }[] = [
    { name: 'no token', authorization: undefined, expect: asCaller },
    { name: 'an unknown token', authorization: ['Bearer x'], expect: asCaller },
    { name: 'an empty token', authorization: ['Bearer '], expect: asCaller },
    {
      name: 'a prefix of a token of the lab',
      authorization: ['Bearer admin-toke'],
      expect: asCaller,
    },
    { name: 'a token of the lab as a password', authorization: ['Basic admin-token'], expect: asCaller },
    {
      name: 'two tokens, one of them the lab’s',
      authorization: ['Bearer x', 'Bearer admin-token'],
      expect: asCaller,
    },
    { name: 'the admin token', authorization: ['Bearer admin-token'], expect: asKubeconfig },
    {
      name: 'the admin token, with a lower-case scheme',
      authorization: ['bearer admin-token'],
      expect: asKubeconfig,
    },
    { name: 'the controllers’ token', authorization: ['Bearer controllers-token'], expect: asKubeconfig },
    { name: 'a kubelet’s token', authorization: ['Bearer n1-token'], expect: asN1 },
    {
      name: 'a kubelet’s token, if the user may not impersonate nodes',
      authorization: ['Bearer n1-token'],
      mayImpersonate: false,
      expect: asKubeconfig,
    },
  ]
  for (const { name, authorization, mayImpersonate = true, expect } of cases)
    test(name, () => assert.deepEqual(credentialsFor(authorization, labTokens, mayImpersonate), expect))
})

describe('the relay forwards', () => {
  const cases: readonly {
    name: string
    headers: Record<string, string[]>
    credentials: Credentials
    ownToken?: string
    expect: Headers
  }[] = [
    {
      name: 'the credentials of an unknown caller unchanged',
      headers: { authorization: ['Bearer x'], 'impersonate-user': ['boss'] },
      credentials: asCaller,
      ownToken: 'mine',
      expect: { authorization: ['Bearer x'], 'impersonate-user': ['boss'] },
    },
    {
      name: 'no credentials for a caller without any',
      headers: {},
      credentials: asCaller,
      ownToken: 'mine',
      expect: {},
    },
    {
      name: 'the kubeconfig’s token instead of the lab’s',
      headers: { authorization: ['Bearer admin-token'], accept: ['*/*'] },
      credentials: asKubeconfig,
      ownToken: 'mine',
      expect: { authorization: ['Bearer mine'], accept: ['*/*'] },
    },
    {
      name: 'no token if the user has a client certificate',
      headers: { authorization: ['Bearer admin-token'] },
      credentials: asKubeconfig,
      expect: {},
    },
    {
      name: 'impersonation by the admin, as of kubectl --as',
      headers: { authorization: ['Bearer admin-token'], 'impersonate-group': ['a', 'b'] },
      credentials: asKubeconfig,
      ownToken: 'mine',
      expect: { authorization: ['Bearer mine'], 'impersonate-group': ['a', 'b'] },
    },
    {
      name: 'a kubelet’s requests as its node, whatever it impersonates',
      headers: {
        authorization: ['Bearer n1-token'],
        'impersonate-user': ['admin'],
        'impersonate-extra-scopes': ['all'],
      },
      credentials: asN1,
      ownToken: 'mine',
      expect: {
        authorization: ['Bearer mine'],
        'impersonate-user': ['system:node:n1'],
        'impersonate-group': ['system:nodes'],
      },
    },
  ]
  for (const { name, headers, credentials, ownToken, expect } of cases)
    test(name, () => assert.deepEqual(withCredentials(headers, credentials, ownToken), expect))
})

describe('the relay forwards headers', () => {
  const upgrade = { connection: ['Upgrade'], upgrade: ['websocket'], host: ['a'], accept: ['*/*'] }

  test('without those of a single hop', () =>
    assert.deepEqual(forwardedHeaders(upgrade, false), { accept: ['*/*'] }))

  test('with those of an upgrade', () =>
    assert.deepEqual(forwardedHeaders(upgrade, true), {
      connection: ['Upgrade'],
      upgrade: ['websocket'],
      accept: ['*/*'],
    }))

  test('without those of front proxies', () =>
    assert.deepEqual(forwardedHeaders({ 'x-remote-user': ['admin'], 'x-remote-group': ['g'] }, false), {}))
})
