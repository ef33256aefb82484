import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { ApiObject } from './api-object.ts'
import { applyConfiguration, leavesOf, pathsOf, trackUpdate } from './field-ownership.ts'
import { builtInLists, type ListTypes, listsOf } from './list-merging.ts'
import type { ResourceKind } from './resources.ts'
import type { Schema } from './schema.ts'

const time = '2026-01-01T00:00:00Z'
const built = builtInLists()

const map = (data: object, metadata: object = {}): ApiObject => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'm', ...metadata },
  data,
})
const apply = (live: ApiObject | undefined, data: object, manager: string, force = false): ApiObject =>
  applyConfiguration(live, map(data), manager, force, undefined, time, built)

/** One manager's word on lists, kept and given again. */
function applySpecs(lists: ListTypes, ...specs: readonly object[]): unknown {
  const object = (spec: object) => ({ apiVersion: 'v1', kind: 'K', metadata: { name: 'n' }, spec })
  const apply = (live: ApiObject | undefined, spec: object): ApiObject =>
    applyConfiguration(live, object(spec) as ApiObject, 'me', false, undefined, time, lists)
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
    assert.throws(() => apply(mine, { a: '2' }, 'you'), /conflict with "me" using v1: \.data\.a/)
    const taken = apply(mine, { a: '2' }, 'you', true)
    assert.deepEqual(
      taken.metadata.managedFields?.map(({ manager }) => manager),
      ['you'],
    )
  })

  test('a write by other means takes the fields that it changes', () => {
    const applied = apply(undefined, { a: '1', b: '1' }, 'me')
    const edited = map({ a: '2', b: '1' }, { managedFields: applied.metadata.managedFields })
    const fields = trackUpdate(applied, edited, 'editor', undefined, '', built)
    const owned = fields.map(({ manager, fieldsV1 }) => [manager, pathsOf(fieldsV1).join()])
    assert.deepEqual(owned, [
      ['me', '["f:data","f:b"]'],
      ['editor', '["f:data","f:a"]'],
    ])
  })

  test('containers are owned one by one', () => {
    const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p' }, spec: { containers: [{ name: 'a', image: 'i' }] } }
    assert.deepEqual([...leavesOf(pod, built).keys()], [
      '["f:spec","f:containers","k:{\\"name\\":\\"a\\"}","."]',
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
    const mine = applyConfiguration(undefined, finalizers('a'), 'me', false, undefined, time, built)
    const both = applyConfiguration(mine, finalizers('b'), 'you', false, undefined, time, built)
    assert.deepEqual(both.metadata.finalizers, ['a', 'b'])
    assert.deepEqual(applyConfiguration(both, finalizers(), 'me', false, undefined, time, built).metadata.finalizers, ['b'])
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
