import assert from 'node:assert/strict'
import { appendFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, test } from 'node:test'
import fc from 'fast-check'
import type { ApiObject } from './api-object.ts'
import { Store } from './store.ts'

let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'store-test-'))
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

const map = (name: string, value = ''): ApiObject => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, namespace: 'default' },
  data: { value },
})
const put = (store: Store, name: string, value?: string): ApiObject =>
  store.put('/configmaps', `default/${name}`, map(name, value))
const names = (objects: readonly ApiObject[] | undefined): string[] | undefined =>
  objects?.map(({ metadata }) => metadata.name)

describe('the store', () => {
  test('counts on after a start, and has everything', () => {
    const before = new Store(directory)
    put(before, 'a')
    put(before, 'b')
    before.delete('/configmaps', 'default/a')
    const after = new Store(directory)
    assert.deepEqual(names(after.list('/configmaps')), ['b'])
    assert.equal(after.version, before.version)
    assert.equal(put(after, 'c').metadata.resourceVersion, String(before.version + 1))
  })

  test('a record that was cut off is as if it had never been, and what comes after it is kept', () => {
    put(new Store(directory), 'a')
    appendFileSync(join(directory, 'log.jsonl'), '{"version":99,"type":"ADDED","resource":"/configmaps","obj')
    const store = new Store(directory)
    assert.deepEqual(names(store.list('/configmaps')), ['a'])
    put(store, 'b')
    assert.deepEqual(names(new Store(directory).list('/configmaps')), ['a', 'b'])
  })

  test('what was, can be listed as long as it is remembered', () => {
    const store = new Store(directory)
    put(store, 'a', 'old')
    put(store, 'b')
    const then = store.version
    put(store, 'a', 'new')
    store.delete('/configmaps', 'default/b')
    put(store, 'c')
    const objects = store.listAt('/configmaps', then)
    assert.deepEqual(names(objects), ['a', 'b'])
    assert.deepEqual(objects?.[0]?.data, { value: 'old' })
    assert.equal(store.listAt('/configmaps', store.version + 1), undefined)
  })

  test('a start that forgets changes says so: no watch may miss one', () => {
    const first = new Store(directory)
    put(first, 'a')
    new Store(directory)
    const third = new Store(directory)
    assert.ok(third.oldestVersion > third.version, 'nothing is remembered, and the last change is too old')
    assert.equal(third.listAt('/configmaps', third.version - 1), undefined)
  })

  test('any run of writes, with a start after any of them, is the same as without', () => {
    const step = fc.record({
      name: fc.constantFrom('a', 'b', 'c'),
      isDelete: fc.boolean(),
      isStart: fc.boolean(),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        const [one, other] = [mkdtempSync(join(directory, 'x-')), mkdtempSync(join(directory, 'y-'))]
        const steady = new Store(one)
        let restarted = new Store(other)
        for (const { name, isDelete, isStart } of steps) {
          for (const store of [steady, restarted])
            if (isDelete) store.delete('/configmaps', `default/${name}`)
            else put(store, name)
          if (isStart) restarted = new Store(other)
        }
        assert.deepEqual(restarted.list('/configmaps'), steady.list('/configmaps'))
        assert.equal(restarted.version, steady.version)
      }),
      { numRuns: 50 },
    )
  })
})
