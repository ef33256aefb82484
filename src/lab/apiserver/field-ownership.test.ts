import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { ApiObject } from './api-object.ts'
import { applyConfiguration, leavesOf, pathsOf, trackUpdate } from './field-ownership.ts'

const map = (data: object, metadata: object = {}): ApiObject => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'm', ...metadata },
  data,
})
const apply = (live: ApiObject | undefined, data: object, manager: string, force = false): ApiObject =>
  applyConfiguration(live, map(data), manager, force, undefined, '2026-01-01T00:00:00Z')

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
    const fields = trackUpdate(applied, edited, 'editor', undefined, '')
    const owned = fields.map(({ manager, fieldsV1 }) => [manager, pathsOf(fieldsV1).join()])
    assert.deepEqual(owned, [
      ['me', '["f:data","f:b"]'],
      ['editor', '["f:data","f:a"]'],
    ])
  })

  test('containers are owned one by one', () => {
    const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p' }, spec: { containers: [{ name: 'a', image: 'i' }] } }
    assert.deepEqual([...leavesOf(pod).keys()], [
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
