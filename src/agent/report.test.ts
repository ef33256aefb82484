import assert from 'node:assert/strict'
import { test } from 'node:test'
import { device } from '../../test/support/failover-under-test.ts'
import { describeInterfaces } from './report.ts'

test('a node reports why an interface carries no traffic', () => {
  const problemOf = (changes: Parameters<typeof device>[0]) =>
    describeInterfaces([device(changes)], new Set())[0]?.problem
  assert.equal(problemOf({}), undefined)
  assert.equal(problemOf({ isUp: false, hasCarrier: false }), 'Down')
  assert.equal(problemOf({ hasCarrier: false }), 'NoCarrier')
  assert.equal(problemOf({ mac: undefined, kind: 'wireguard' }), 'NoEthernetHeader')
})

test('a device that only holds addresses need not be up', () => {
  for (const kind of ['dummy', 'ifb'])
    assert.equal(
      describeInterfaces([device({ kind, isUp: false, hasCarrier: false })], new Set())[0]?.problem,
      undefined,
    )
})
