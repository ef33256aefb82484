import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isSameJson } from './same-json.ts'

test('two values are the same JSON whatever the order of their keys', () => {
  assert.ok(isSameJson({ a: 1, b: [{ c: 2, d: undefined }] }, { b: [{ c: 2 }], a: 1 }))
})

test('a missing value, another order in a list and another value make a difference', () => {
  assert.ok(!isSameJson({ a: 1 }, undefined))
  assert.ok(!isSameJson([1, 2], [2, 1]))
  assert.ok(!isSameJson({ a: 1 }, { a: '1' }))
})
