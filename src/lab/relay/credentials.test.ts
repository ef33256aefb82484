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

describe('as whom a request is forwarded', () => {
  const cases: readonly {
    name: string
    authorization: readonly string[] | undefined
    mayImpersonate?: boolean
    expect: Credentials
  }[] = [
    { name: 'without a token: nobody', authorization: undefined, expect: asCaller },
    { name: 'a token that the lab does not know: as it came', authorization: ['Bearer x'], expect: asCaller },
    { name: 'an empty token', authorization: ['Bearer '], expect: asCaller },
    {
      name: 'the start of a token of the lab',
      authorization: ['Bearer admin-toke'],
      expect: asCaller,
    },
    { name: 'a token of the lab as a password', authorization: ['Basic admin-token'], expect: asCaller },
    {
      name: 'two tokens, of which one is the lab’s',
      authorization: ['Bearer x', 'Bearer admin-token'],
      expect: asCaller,
    },
    { name: 'the admin', authorization: ['Bearer admin-token'], expect: asKubeconfig },
    { name: 'a scheme has no case', authorization: ['bearer admin-token'], expect: asKubeconfig },
    { name: 'the controllers', authorization: ['Bearer controllers-token'], expect: asKubeconfig },
    { name: 'a kubelet is its node', authorization: ['Bearer n1-token'], expect: asN1 },
    {
      name: 'a kubelet, where nobody may speak for nodes',
      authorization: ['Bearer n1-token'],
      mayImpersonate: false,
      expect: asKubeconfig,
    },
  ]
  for (const { name, authorization, mayImpersonate = true, expect } of cases)
    test(name, () => assert.deepEqual(credentialsFor(authorization, labTokens, mayImpersonate), expect))
})

describe('what the joined server is told of the sender', () => {
  const cases: readonly {
    name: string
    headers: Record<string, string[]>
    credentials: Credentials
    ownToken?: string
    expect: Headers
  }[] = [
    {
      name: 'the caller’s own words, and none of ours',
      headers: { authorization: ['Bearer x'], 'impersonate-user': ['boss'] },
      credentials: asCaller,
      ownToken: 'mine',
      expect: { authorization: ['Bearer x'], 'impersonate-user': ['boss'] },
    },
    { name: 'nobody stays nobody', headers: {}, credentials: asCaller, ownToken: 'mine', expect: {} },
    {
      name: 'the kubeconfig’s token in place of the lab’s',
      headers: { authorization: ['Bearer admin-token'], accept: ['*/*'] },
      credentials: asKubeconfig,
      ownToken: 'mine',
      expect: { authorization: ['Bearer mine'], accept: ['*/*'] },
    },
    {
      name: 'no token, where a client certificate stands for the user',
      headers: { authorization: ['Bearer admin-token'] },
      credentials: asKubeconfig,
      expect: {},
    },
    {
      name: 'the admin may speak for others, as kubectl --as does',
      headers: { authorization: ['Bearer admin-token'], 'impersonate-group': ['a', 'b'] },
      credentials: asKubeconfig,
      ownToken: 'mine',
      expect: { authorization: ['Bearer mine'], 'impersonate-group': ['a', 'b'] },
    },
    {
      name: 'a kubelet speaks for its node, whatever it says',
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

describe('which headers go along', () => {
  const upgrade = { connection: ['Upgrade'], upgrade: ['websocket'], host: ['a'], accept: ['*/*'] }

  test('those of one hop stay behind', () =>
    assert.deepEqual(forwardedHeaders(upgrade, false), { accept: ['*/*'] }))

  test('an upgrade says that it is one', () =>
    assert.deepEqual(forwardedHeaders(upgrade, true), {
      connection: ['Upgrade'],
      upgrade: ['websocket'],
      accept: ['*/*'],
    }))

  test('nobody is introduced by a front proxy that is none', () =>
    assert.deepEqual(forwardedHeaders({ 'x-remote-user': ['admin'], 'x-remote-group': ['g'] }, false), {}))
})
