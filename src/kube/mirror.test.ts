import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { RunningServer } from '../../test/support/running-server.ts'
import { systemClock } from '../runtime/clock.ts'
import { createLog } from '../runtime/log.ts'
import { KubeClient, type KubeObject } from './client.ts'
import { coreResource } from './cluster-objects.ts'
import { isAlreadyExists, isConflict, isNotFound } from './kube-error.ts'
import { Leadership } from './leader.ts'
import { Mirror } from './mirror.ts'
import type { Resource } from './resource.ts'

interface ConfigMap extends KubeObject {
  readonly data?: Readonly<Record<string, string>>
}

const log = createLog('test', 'silent')

async function eventually(isSo: () => boolean): Promise<void> {
  for (let tries = 0; tries < 300 && !isSo(); tries++) await setTimeout(50)
  assert.ok(isSo())
}

describe('the client and its mirrors', { timeout: 600_000 }, () => {
  let server: RunningServer
  let client: KubeClient
  let maps: Resource<ConfigMap>
  const newClient = (): KubeClient =>
    new KubeClient(
      { server: server.url, ca: server.ca, token: () => server.adminToken },
      { userAgent: 'test' },
    )

  before(async () => {
    server = await RunningServer.open()
    client = newClient()
    maps = client.resource<ConfigMap>(coreResource('configmaps', true))
  })
  after(async () => {
    await client[Symbol.asyncDispose]()
    await server[Symbol.asyncDispose]()
  })

  const create = (name: string, data: Record<string, string> = {}): Promise<ConfigMap> =>
    maps.create({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name, namespace: 'default' },
      data,
    } as ConfigMap)

  test('errors say what they are', async () => {
    await create('taken')
    await assert.rejects(create('taken'), isAlreadyExists)
    await assert.rejects(maps.get('missing', 'default'), isNotFound)
    const old = await maps.get('taken', 'default')
    await maps.replace({ ...old, data: { changed: 'once' } })
    await assert.rejects(maps.replace({ ...old, data: { changed: 'twice' } }), isConflict)
    await assert.rejects(maps.delete('taken', { namespace: 'default', uid: 'of another' }), isConflict)
  })

  test('a list comes in pages, and all of it', async () => {
    for (let index = 0; index < 12; index++) await create(`paged-${index}`)
    const names = (await maps.list({ namespace: 'default' })).items.map(({ metadata }) => metadata.name)
    assert.equal(names.filter((name) => name.startsWith('paged-')).length, 12)
  })

  test('a mirror lists again on request, whatever it has received, and continues from there', async () => {
    const stop = new AbortController()
    let lists = 0
    const mirror = new Mirror<ConfigMap, string>(maps, {
      clock: systemClock,
      log,
      trim: ({ metadata }) => metadata.name,
      onChange: (change) => {
        if (change === undefined) lists++
      },
    })
    const running = mirror.start(stop.signal)
    await mirror.synced
    await create('before')
    await Promise.all([mirror.relist(), mirror.relist()])
    assert.ok(mirror.items.has('default/before'))
    assert.equal(lists, 2)
    await create('afterwards')
    await eventually(() => mirror.items.has('default/afterwards'))
    assert.equal(lists, 2)
    stop.abort()
    await running
  })

  test('a mirror reports a change only when what it keeps has changed', async () => {
    const stop = new AbortController()
    let told = 0
    const mirror = new Mirror<ConfigMap, { readonly loud: string | undefined }>(maps, {
      clock: systemClock,
      log,
      trim: ({ data }) => ({ loud: data?.loud }),
      onChange: () => told++,
    })
    const running = mirror.start(stop.signal)
    const kept = () => mirror.items.get('default/heard')
    await create('heard')
    await eventually(() => mirror.items.has('default/heard'))
    const [before, object] = [told, kept()]
    await maps.patch('heard', 'merge', { data: { quiet: '1' } }, { namespace: 'default' })
    await maps.patch('heard', 'merge', { data: { loud: '1' } }, { namespace: 'default' })
    await eventually(() => kept()?.loud === '1')
    assert.equal(told, before + 1)
    const loud = kept()
    assert.notEqual(loud, object)
    await maps.patch('heard', 'merge', { data: { quiet: '2' } }, { namespace: 'default' })
    await create('heard-after')
    await eventually(() => mirror.items.has('default/heard-after'))
    assert.equal(kept(), loud)
    stop.abort()
    await running
  })

  test('a mirror of what cannot be read has not synced, and says why', async () => {
    const stop = new AbortController()
    const nothing = { group: 'nothing.dev', version: 'v1', plural: 'nothings', isNamespaced: true }
    const mirror = new Mirror(client.resource<KubeObject>(nothing), {
      clock: systemClock,
      log,
      trim: (object) => object,
      onChange: () => {},
    })
    const running = mirror.start(stop.signal)
    await eventually(() => mirror.failure !== undefined)
    assert.equal(mirror.hasSynced, false)
    assert.match(mirror.failure ?? '', /nothings/)
    stop.abort()
    await running
  })

  test('a mirror follows, over the death of the API server too, and misses no deletion meanwhile', async () => {
    const stop = new AbortController()
    let changes = 0
    const mirror = new Mirror<ConfigMap, string>(maps, {
      namespace: 'default',
      clock: systemClock,
      log,
      trim: ({ data }) => data?.value ?? '',
      onChange: () => changes++,
    })
    await create('followed', { value: 'one' })
    const running = mirror.start(stop.signal)
    await mirror.synced
    assert.equal(mirror.items.get('default/followed'), 'one')
    await maps.patch('followed', 'merge', { data: { value: 'two' } }, { namespace: 'default' })
    await eventually(() => mirror.items.get('default/followed') === 'two')
    await server.kill()
    await server.start()
    await maps.delete('followed', { namespace: 'default' })
    await create('after', { value: 'three' })
    await eventually(
      () => mirror.items.get('default/after') === 'three' && !mirror.items.has('default/followed'),
    )
    assert.equal(mirror.hasSynced, true)
    assert.ok(changes > 2)
    stop.abort()
    await running
  })

  test('of two candidates one leads, and when it goes the other does', async () => {
    const candidates = ['a', 'b'].map((identity) => {
      const of = newClient()
      const leadership = new Leadership(of, {
        namespace: 'kube-system',
        name: 'test',
        identity,
        clock: systemClock,
        log,
      })
      const stop = new AbortController()
      return { leadership, stop, of, running: leadership.start(stop.signal, () => {}) }
    })
    const leading = () => candidates.filter(({ leadership }) => leadership.isLeader)
    await eventually(() => leading().length === 1)
    const [first] = leading()
    assert.ok(first)
    first.stop.abort()
    await first.running
    await first.leadership.release()
    await eventually(() => leading().some((candidate) => candidate !== first))
    for (const { stop, running, of } of candidates) {
      stop.abort()
      await running
      await of[Symbol.asyncDispose]()
    }
  })
})
