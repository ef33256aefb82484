import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { jsonPatch, mergePatch, strategicPatch } from './patches.ts'

/** The examples of RFC 7386, appendix A, as far as they show something of their own. */
const merges: readonly (readonly [target: unknown, patch: unknown, result: unknown])[] = [
  [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
  [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
  [{ a: 'b' }, { a: null }, {}],
  [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
  [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
  [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
  [{ e: null }, { a: 1 }, { e: null, a: 1 }],
  [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  [[1, 2], { a: 'b', c: null }, { a: 'b' }],
]

describe('merge patch', () => {
  for (const [target, patch, result] of merges)
    test(`${JSON.stringify(target)} with ${JSON.stringify(patch)}`, () =>
      assert.deepEqual(mergePatch(target, patch), result))

  test('once is as good as twice', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), fc.jsonValue(), (target, patch) => {
        const once = mergePatch(target, patch)
        assert.deepEqual(mergePatch(structuredClone(once), patch), once)
      }),
    )
  })
})

const steps: readonly (readonly [name: string, target: unknown, patch: unknown, result: unknown])[] = [
  ['adds a field', { a: 1 }, [{ op: 'add', path: '/b', value: 2 }], { a: 1, b: 2 }],
  ['inserts into a list', [1, 3], [{ op: 'add', path: '/1', value: 2 }], [1, 2, 3]],
  ['appends to a list', [1], [{ op: 'add', path: '/-', value: 2 }], [1, 2]],
  ['replaces an item', [1, 2], [{ op: 'replace', path: '/0', value: 9 }], [9, 2]],
  ['removes an item', [1, 2], [{ op: 'remove', path: '/0' }], [2]],
  ['moves', { a: 1 }, [{ op: 'move', from: '/a', path: '/b' }], { b: 1 }],
  ['copies', { a: 1 }, [{ op: 'copy', from: '/a', path: '/b' }], { a: 1, b: 1 }],
  ['unescapes', { 'a/b': { '~': 1 } }, [{ op: 'replace', path: '/a~1b/~0', value: 2 }], { 'a/b': { '~': 2 } }],
  ['tests what holds', { a: [1] }, [{ op: 'test', path: '/a', value: [1] }], { a: [1] }],
] // biome-ignore format: one a line

const refused: readonly (readonly [name: string, patch: unknown])[] = [
  ['a test that fails', [{ op: 'test', path: '/a', value: 2 }]],
  ['removing what is not there', [{ op: 'remove', path: '/b' }]],
  ['a place beyond the end', [{ op: 'add', path: '/list/7', value: 1 }]],
  ['a place that is no number', [{ op: 'replace', path: '/list/length', value: 0 }]],
  ['a path through what all objects share', [{ op: 'add', path: '/__proto__/polluted', value: true }]],
  ['a path through a constructor', [{ op: 'add', path: '/constructor/prototype/polluted', value: true }]],
  ['an operation that there is not', [{ op: 'increment', path: '/a' }]],
  ['a list with nothing in it', [null]],
  ['no list', { op: 'add' }],
]

describe('JSON patch', () => {
  for (const [name, target, patch, result] of steps)
    test(name, () => assert.deepEqual(jsonPatch(target, patch), result))
  for (const [name, patch] of refused)
    test(`refuses ${name}`, () => {
      const target = { a: 1, list: [1] }
      assert.throws(() => jsonPatch(target, patch), { name: 'Error' })
      assert.deepEqual(target, { a: 1, list: [1] }, 'a failing patch leaves the object as it was')
      assert.equal(({} as { polluted?: boolean }).polluted, undefined)
    })
})

describe('strategic merge patch', () => {
  const containers = [
    { name: 'one', image: 'i:1' },
    { name: 'two', image: 'i:1' },
  ]

  test('lists of containers merge by name', () => {
    const patch = { containers: [{ name: 'two', image: 'i:2' }, { name: 'three' }] }
    assert.deepEqual(strategicPatch({ containers }, patch), {
      containers: [{ name: 'one', image: 'i:1' }, { name: 'two', image: 'i:2' }, { name: 'three' }],
    })
  })

  test('$patch: delete takes an item, $setElementOrder orders the rest', () => {
    const patch = {
      $setElementOrder: undefined,
      '$setElementOrder/containers': [{ name: 'three' }, { name: 'one' }],
      containers: [{ name: 'three' }, { name: 'two', $patch: 'delete' }],
    }
    const { containers: result } = strategicPatch({ containers }, patch) as { containers: { name: string }[] }
    assert.deepEqual(
      result.map(({ name }) => name),
      ['three', 'one'],
    )
  })

  test('$patch: replace replaces, null deletes', () => {
    assert.deepEqual(
      strategicPatch({ a: { b: 1, c: 2 }, d: 1 }, { a: { $patch: 'replace', c: 3 }, d: null }),
      {
        a: { c: 3 },
      },
    )
  })

  test('$retainKeys keeps only what it names', () => {
    const patch = { strategy: { $retainKeys: ['type'], type: 'Recreate' } }
    assert.deepEqual(strategicPatch({ strategy: { type: 'RollingUpdate', rollingUpdate: {} } }, patch), {
      strategy: { type: 'Recreate' },
    })
  })

  test('taints are one list, replaced as a whole', () => {
    assert.deepEqual(strategicPatch({ taints: [{ key: 'a' }] }, { taints: [{ key: 'b' }] }), {
      taints: [{ key: 'b' }],
    })
  })

  test('finalizers are a set; $deleteFromPrimitiveList takes from it', () => {
    assert.deepEqual(
      strategicPatch(
        { finalizers: ['a', 'b'] },
        { finalizers: ['c'], '$deleteFromPrimitiveList/finalizers': ['a'] },
      ),
      { finalizers: ['c', 'b'] },
    )
  })

  test('ports of one number and two protocols are two; one that is named by its number alone is the first', () => {
    const ports = [
      { port: 53, protocol: 'UDP' },
      { port: 53, protocol: 'TCP' },
    ]
    assert.deepEqual(strategicPatch({}, { ports }), { ports })
    const patch = { ports: [{ port: 53, name: 'dns' }] }
    assert.deepEqual(strategicPatch({ ports }, patch), { ports: [{ ...ports[0], name: 'dns' }, ports[1]] })
  })

  test('items that lack the key replace the list: merged, all of them would be one', () => {
    const env = [{ key: 'A' }, { key: 'B' }]
    assert.deepEqual(strategicPatch({ env: [{ name: 'old' }] }, { env }), { env })
  })
})
