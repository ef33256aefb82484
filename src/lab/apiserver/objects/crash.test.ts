import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { connect } from 'node:tls'
import { RunningServer } from '../../../../test/support/running-server.ts'

const maps = '/api/v1/namespaces/default/configmaps'
let server: RunningServer

before(async () => {
  server = await RunningServer.open()
})
after(() => server[Symbol.asyncDispose]())

interface List {
  readonly metadata: { readonly resourceVersion: string; readonly continue?: string }
  readonly items: readonly { readonly metadata: { readonly name: string } }[]
}

async function list(query = ''): Promise<List> {
  return JSON.parse((await server.ask('GET', `${maps}${query}`)).text) as List
}

async function create(name: string): Promise<number> {
  return (await server.ask('POST', maps, { metadata: { name } })).code
}

describe('killed in the middle of writes', () => {
  test('it has lost none that it had acknowledged, and counts on', async () => {
    const acknowledged: string[] = []
    let killed: Promise<void> | undefined
    for (;;) {
      const name = `m${acknowledged.length}`
      // The connection breaks in one of several ways, depending on how far it was.
      const code = await create(name).catch(() => 'broken')
      if (code === 'broken') break
      assert.equal(code, 201)
      if (acknowledged.push(name) === 100) killed = server.kill()
    }
    assert.ok(acknowledged.length >= 100, 'it is we who killed it')
    await killed
    await server.start()
    const names = (await list()).items.map(({ metadata }) => metadata.name)
    assert.deepEqual(
      acknowledged.filter((name) => !names.includes(name)),
      [],
    )
    assert.ok(names.length - acknowledged.length <= 1, 'at most the write that was under way came on top')
  })

  test('a watch from before goes on where it was, and is told nothing twice', async () => {
    const { resourceVersion } = (await list()).metadata
    assert.equal(await create('between'), 201)
    await server.kill()
    await server.start()
    assert.equal(await create('later'), 201)
    const seen: string[] = []
    const watch = `${maps}?watch=1&resourceVersion=${resourceVersion}`
    for await (const { type, object } of server.watch(watch, AbortSignal.timeout(10_000))) {
      seen.push(`${type} ${(object as { metadata: { name: string } }).metadata.name}`)
      if (seen.length === 2) break
    }
    assert.deepEqual(seen, ['ADDED between', 'ADDED later'])
  })

  test('a watch from before what is remembered is told to list anew', async () => {
    const { resourceVersion } = (await list()).metadata
    assert.equal(await create('forgotten'), 201)
    for (let start = 0; start < 2; start++) {
      await server.kill()
      await server.start()
    }
    const watch = `${maps}?watch=1&resourceVersion=${resourceVersion}`
    for await (const { type, object } of server.watch(watch, AbortSignal.timeout(10_000))) {
      assert.equal(type, 'ERROR')
      assert.equal((object as { code: number }).code, 410)
    }
  })
})

describe('lists in pages', () => {
  test('are of one moment, whatever is written meanwhile', async () => {
    const before = (await list()).items.map(({ metadata }) => metadata.name)
    const first = await list('?limit=10')
    await create('a-newcomer')
    await server.ask('DELETE', `${maps}/${before[20]}`)
    const rest = await list(`?limit=1000&continue=${first.metadata.continue}`)
    assert.equal(rest.metadata.resourceVersion, first.metadata.resourceVersion)
    assert.deepEqual(
      [...first.items, ...rest.items].map(({ metadata }) => metadata.name),
      before,
    )
  })

  test('a token that is none is refused', async () =>
    assert.equal((await server.ask('GET', `${maps}?continue=xyz`)).code, 400))
})

const definition = (spec: object): object => ({
  metadata: { name: 'widgets.example.com' },
  spec: { group: 'example.com', names: { plural: 'widgets', kind: 'Widget' }, scope: 'Cluster', ...spec },
})
const definitions = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'
const roles = '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings'

/** What would, if it were let in, break the server for everybody. */
const hostile: readonly (readonly [name: string, method: string, path: string, body: unknown, code: number])[] = [
  ['labels that are a list', 'POST', maps, { metadata: { name: 'x', labels: ['a'] } }, 400],
  ['owners that are no list', 'POST', maps, { metadata: { name: 'x', ownerReferences: {} } }, 400],
  ['finalizers of numbers', 'POST', maps, { metadata: { name: 'x', finalizers: [1] } }, 400],
  ['another namespace than the path has', 'POST', maps, { metadata: { name: 'x', namespace: 'kube-system' } }, 400],
  ['a name with a slash', 'GET', `${maps}/a%2Fb`, undefined, 400],
  ['an object outside of any namespace', 'POST', '/api/v1/configmaps', { metadata: { name: 'x' } }, 405],
  ['another name than the path has', 'PUT', `${maps}/between`, { metadata: { name: 'x' } }, 400],
  ['a definition without versions', 'POST', definitions, definition({}), 422],
  ['a definition with versions that are none', 'POST', definitions, definition({ versions: [null] }), 422],
  ['a definition with a schema that is none', 'POST', definitions, definition({ versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: { type: 'object', properties: { a: null } } } }] }), 422],
  ['a definition in a group of Kubernetes', 'POST', definitions, definition({ group: 'apps' }), 422],
  ['subjects that are none', 'POST', roles, { metadata: { name: 'x' }, roleRef: { kind: 'ClusterRole', name: 'view' }, subjects: [null] }, 422],
  ['rules that are none', 'POST', roles.replace('bindings', 's'), { metadata: { name: 'x' }, rules: 'all' }, 422],
  ['a version to watch from that is none', 'GET', `${maps}?watch=1&resourceVersion=x`, undefined, 500],
  ['a path that is none', 'GET', '//', undefined, 400],
  ['a method that there is not', 'OPTIONS', maps, undefined, 405],
] // biome-ignore format: one a line

describe('hostile requests', () => {
  for (const [name, method, path, body, code] of hostile)
    test(name, async () => {
      const answer = await server.ask(method, path, body as object | undefined)
      assert.equal(answer.code, code, answer.text)
      assert.equal((JSON.parse(answer.text) as { kind: string }).kind, 'Status')
    })

  test('bytes that are no HTTP', async () => {
    const { port } = new URL(server.url)
    await new Promise<void>((resolve, reject) => {
      const socket = connect({ host: '127.0.0.1', port: Number(port), ca: server.ca }, () => {
        socket.write('NONSENSE\r\n\r\n\0\0\0')
      })
      socket.once('close', () => resolve())
      socket.once('error', reject)
    })
  })

  test('and after all of them it starts again, and serves', async () => {
    await server.kill()
    await server.start()
    assert.equal((await server.ask('GET', '/api/v1/namespaces')).code, 200)
    assert.equal((await server.ask('GET', '/readyz', undefined, { authorization: '' })).text, 'ok')
    assert.equal((await server.ask('GET', '/api/v1/pods', undefined, { authorization: '' })).code, 401)
  })
})
