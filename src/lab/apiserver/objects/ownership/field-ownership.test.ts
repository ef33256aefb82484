import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { Schema } from '../../schema/schema.ts'
import type { ApiObject } from '../api-object.ts'
import type { ResourceKind } from '../resources.ts'
import { applyConfiguration, trackUpdate } from './field-ownership.ts'
import { decodeFields, fieldsOf } from './field-sets.ts'
import { builtInLists, type ListTypes, listsOf } from './list-merging.ts'

const time = '2026-01-01T00:00:00Z'
const built = builtInLists()

const map = (data: object, metadata: object = {}): ApiObject => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'm', ...metadata },
  data,
})
const empty = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: '' } } as ApiObject
const writer = (manager: string, force = false) => ({ manager, force, subresource: undefined, time })
const applyObject = (
  live: ApiObject | undefined,
  object: ApiObject,
  manager: string,
  force = false,
): ApiObject => applyConfiguration(live, object, writer(manager, force), built, empty)
const apply = (live: ApiObject | undefined, data: object, manager: string, force = false): ApiObject =>
  applyObject(live, map(data), manager, force)

/** One manager's word on lists, kept and given again. */
function applySpecs(lists: ListTypes, ...specs: readonly object[]): unknown {
  const object = (spec: object) => ({ apiVersion: 'v1', kind: 'K', metadata: { name: 'n' }, spec })
  const apply = (live: ApiObject | undefined, spec: object): ApiObject =>
    applyConfiguration(live, object(spec) as ApiObject, writer('me'), lists, empty)
  return specs.reduce<ApiObject | undefined>(apply, undefined)?.spec
}

const customLists = (properties: Readonly<Record<string, Schema>>): ListTypes =>
  listsOf({
    custom: { schema: { type: 'object', properties: { spec: { type: 'object', properties } } } },
  } as unknown as ResourceKind)
const rules: Schema = {
  type: 'array',
  'x-kubernetes-list-type': 'map',
  'x-kubernetes-list-map-keys': ['host', 'path'],
  items: { type: 'object', properties: { path: { type: 'string', default: '/' } } },
}

describe('server-side apply', () => {
  test('who applied a field and no longer says it, loses it', () => {
    const first = apply(undefined, { a: '1', b: '2' }, 'me')
    assert.deepEqual(apply(first, { a: '1' }, 'me').data, { a: '1' })
  })

  test('what others apply stays', () => {
    const both = apply(apply(undefined, { a: '1' }, 'me'), { b: '2' }, 'you')
    assert.deepEqual(both.data, { a: '1', b: '2' })
    assert.deepEqual(apply(both, { a: '3' }, 'me').data, { a: '3', b: '2' })
  })

  test('two may own a field as long as they agree; it goes when the last lets go', () => {
    const both = apply(apply(undefined, { a: '1', b: '1' }, 'me'), { a: '1' }, 'you')
    const one = apply(both, { b: '1' }, 'me')
    assert.deepEqual(one.data, { a: '1', b: '1' })
    assert.deepEqual(apply(one, {}, 'you').data, { b: '1' })
  })

  test('another value is a conflict that names the owner, and force takes the field over', () => {
    const mine = apply(undefined, { a: '1' }, 'me')
    assert.throws(() => apply(mine, { a: '2' }, 'you'), /conflict with "me": \.data\.a/)
    const taken = apply(mine, { a: '2' }, 'you', true)
    assert.deepEqual(
      taken.metadata.managedFields?.map(({ manager }) => manager),
      ['you'],
    )
  })

  test('an empty map is owned by the manager that applied it first', () => {
    const labels = (of?: object) => map({}, of === undefined ? {} : { labels: of })
    const { labels: _, ...metadata } = applyObject(undefined, labels({}), 'me').metadata
    const mine = { ...map({}), metadata } as ApiObject
    assert.throws(() => applyObject(mine, labels({}), 'you'), /conflict with "me": \.metadata\.labels$/)
    assert.throws(
      () => applyObject(mine, labels({ a: 'b' }), 'you'),
      /conflict with "me": \.metadata\.labels$/,
    )
    assert.deepEqual(applyObject(mine, labels({ a: 'b' }), 'me').metadata.labels, { a: 'b' })
  })

  test('an apply that changes nothing has no time', () => {
    const both = apply(apply(undefined, { a: '1' }, 'me'), { a: '1' }, 'you')
    const times = both.metadata.managedFields?.map((entry) => [entry.manager, entry.time])
    assert.deepEqual(Object.fromEntries(times ?? []), { me: time, you: undefined })
  })

  test('a write by other means takes the fields that it changes', () => {
    const applied = apply(undefined, { a: '1', b: '1' }, 'me')
    const edited = map({ a: '2', b: '1' }, { managedFields: applied.metadata.managedFields })
    const fields = trackUpdate(applied, edited, writer('editor'), built)
    const owned = fields.map(({ manager, fieldsV1 }) => [manager, decodeFields(fieldsV1).join()])
    assert.deepEqual(owned, [
      ['me', '["f:data","f:b"]'],
      ['editor', '["f:data","f:a"]'],
    ])
  })

  test('containers are owned one by one', () => {
    const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p' }, spec: { containers: [{ name: 'a', image: 'i' }] } }
    assert.deepEqual([...fieldsOf(pod, built)], [
      '["f:spec","f:containers","k:{\\"name\\":\\"a\\"}"]',
      '["f:spec","f:containers","k:{\\"name\\":\\"a\\"}","f:name"]',
      '["f:spec","f:containers","k:{\\"name\\":\\"a\\"}","f:image"]',
    ])
  }) // biome-ignore format: one a line

  test('ownership of what all objects share takes nothing from them', () => {
    const entry = { manager: 'me', operation: 'Apply' as const, apiVersion: 'v1', time: '', fieldsType: 'FieldsV1' as const, fieldsV1: JSON.parse('{"f:__proto__":{"f:toString":{}}}') }
    apply(map({}, { managedFields: [entry] }), {}, 'me')
    assert.equal(typeof {}.toString, 'function')
  }) // biome-ignore format: one a line
})

describe('lists in server-side apply', () => {
  const [dnsUdp, dnsTcp] = [{ port: 53, protocol: 'UDP' }, { port: 53, protocol: 'TCP' }]
  const cases = [
    { name: 'ports of one number and two protocols are two', lists: built, specs: [{ ports: [dnsUdp, dnsTcp] }], expect: { ports: [dnsUdp, dnsTcp] } },
    { name: 'a port without a protocol is one of TCP', lists: built, specs: [{ ports: [{ port: 53 }] }, { ports: [dnsTcp] }], expect: { ports: [dnsTcp] } },
    { name: 'an item that is said no longer goes as a whole', lists: built, specs: [{ containers: [{ name: 'a', image: 'i' }, { name: 'b', image: 'i' }] }, { containers: [{ name: 'b', image: 'i' }] }], expect: { containers: [{ name: 'b', image: 'i' }] } },
    { name: 'of a custom kind, a list that is called as a built-in one is one value', lists: customLists({ env: { type: 'array' } }), specs: [{ env: [{ key: 'A' }, { key: 'B' }] }, { env: [{ key: 'B' }] }], expect: { env: [{ key: 'B' }] } },
    { name: 'of a custom kind, keys and their defaults are the definition’s', lists: customLists({ rules }), specs: [{ rules: [{ host: 'a' }, { host: 'a', path: '/x' }] }, { rules: [{ host: 'a', path: '/' }] }], expect: { rules: [{ host: 'a', path: '/' }] } },
    { name: 'of a custom kind, a set is what is said', lists: customLists({ tags: { type: 'array', 'x-kubernetes-list-type': 'set' } }), specs: [{ tags: ['a', 'b'] }, { tags: ['b', 'c'] }], expect: { tags: ['b', 'c'] } },
    { name: 'items that lack the key are one value', lists: built, specs: [{ env: [{ name: 'a' }] }, { env: [{}, {}] }], expect: { env: [{}, {}] } },
  ]
  for (const { name, lists, specs, expect } of cases)
    test(name, () => assert.deepEqual(applySpecs(lists, ...specs), expect))

  test('two managers of a set have their values each', () => {
    const finalizers = (...list: string[]) => map({}, { finalizers: list })
    const mine = applyObject(undefined, finalizers('a'), 'me')
    const both = applyObject(mine, finalizers('b'), 'you')
    assert.deepEqual(both.metadata.finalizers, ['a', 'b'])
    assert.deepEqual(applyObject(both, finalizers(), 'me').metadata.finalizers, ['b'])
  })

  test('whatever is applied to nothing is stored as it is, and again when it is applied once more', () => {
    const word = fc.constantFrom('a', 'b', 'TCP', 'UDP')
    const item = fc.dictionary(fc.constantFrom('name', 'key', 'host', 'path', 'port', 'containerPort', 'protocol', 'type'), word, { noNullPrototype: true })
    const list = fc.oneof(fc.array(item, { maxLength: 4 }), fc.array(word, { maxLength: 4 }))
    const spec = fc.dictionary(fc.constantFrom('env', 'ports', 'conditions', 'finalizers', 'rules', 'tags', 'other'), list, { noNullPrototype: true })
    const custom = customLists({ rules, tags: { type: 'array', 'x-kubernetes-list-type': 'set' } })
    fc.assert(
      fc.property(spec, fc.boolean(), (given, isCustom) => {
        const lists = isCustom ? custom : built
        assert.deepEqual(applySpecs(lists, given), given)
        assert.deepEqual(applySpecs(lists, given, given), given)
      }),
    )
  })
}) // biome-ignore format: one a line
