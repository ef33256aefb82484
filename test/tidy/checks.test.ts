import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ambientUses } from './ambient.ts'
import { forbiddenImports, importsOfBench } from './imports.ts'
import { crowdedFolders, longFiles, longFunctions } from './sizes.ts'
import { sampleTree } from './sources.ts'
import { poorTestNames } from './test-names.ts'
import { unreadSettings } from './unread-settings.ts'
import { unusedExports } from './unused-exports.ts'

const matrix = { 'src/a': {}, 'src/b': { 'src/a/api': 'because' }, 'src/a/api': {} }
const lines = (count: number): string => Array.from({ length: count }, () => 'work()').join('\n')

test('an import that the matrix does not allow is found in every form', () => {
  const forms = [
    `import { x } from '../a/x.ts'`,
    `import type { X } from '../a/x.ts'`,
    `export { x } from '../a/x.ts'`,
    `const x = await import('../a/x.ts')`,
    `type X = import('../a/x.ts').X`,
    `new Worker(new URL('../a/x.ts', import.meta.url))`,
  ]
  for (const form of forms)
    assert.deepEqual(
      forbiddenImports(sampleTree({ 'src/b/y.ts': form }), matrix),
      ['src/b/y.ts imports src/a/x.ts'],
      form,
    )
  const allowed = `import { x } from '../a/api/x.ts'; import { y } from './y.ts'; import 'node:fs'`
  assert.deepEqual(forbiddenImports(sampleTree({ 'src/b/y.ts': allowed }), matrix), [])
  assert.equal(
    forbiddenImports(sampleTree({ 'src/new/y.ts': '' }), matrix).length,
    1,
    'a folder without a row',
  )
})

test('an inner room that may import its outer room may not import the rooms beside it', () => {
  const inner = { 'src/a': {}, 'src/a/one': { 'src/a': 'because' }, 'src/a/two': {} }
  const found = (of: string) =>
    forbiddenImports(sampleTree({ 'src/a/one/x.ts': `import { y } from '${of}'` }), inner)
  assert.deepEqual(found('../y.ts'), [])
  assert.deepEqual(found('../two/y.ts'), ['src/a/one/x.ts imports src/a/two/y.ts'])
})

test('a test that imports the benchmark is found', () => {
  const sample = { 'test/lab/x.test.ts': `import '../../bench/x.ts'`, 'bench/y.ts': `import './x.ts'` }
  assert.deepEqual(importsOfBench(sampleTree(sample)), ['test/lab/x.test.ts imports bench/x.ts'])
})

test('a file, a function and a folder that are too big are found', () => {
  const long = sampleTree({ 'src/a/x.ts': lines(6), 'src/a/y.ts': lines(5) })
  assert.deepEqual(longFiles(long, 5), ['src/a/x.ts'])
  assert.deepEqual(crowdedFolders(long, 1), ['src/a'])
  const functions = {
    'src/a/x.ts': `function declared() {\n${lines(4)}\n}\nconst named = () => {\n${lines(4)}\n}\nclass C { method() {\n${lines(4)}\n} }`,
    'src/a/y.test.ts': `test('a test as long as its story', () => {\n${lines(4)}\n})`,
    'src/a/z.ts': `function short() {\n${lines(3)}\n}`,
  }
  assert.deepEqual(longFunctions(sampleTree(functions), 5), [
    'src/a/x.ts declared',
    'src/a/x.ts named',
    'src/a/x.ts method',
  ])
})

test('what a function takes from its surroundings is found', () => {
  for (const [what, text] of [
    ['clock', 'Date.now()'],
    ['clock', 'new Date()'],
    ['clock', 'performance.now()'],
    ['random', 'Math.random()'],
    ['timer', 'setTimeout(work, 1)'],
    ['timer', 'setInterval(work, 1)'],
    ['timer', 'AbortSignal.timeout(1)'],
    ['environment', 'process.env.HOME'],
  ] as const)
    assert.deepEqual(
      ambientUses(sampleTree({ 'src/a/x.ts': `const f = () => ${text}` }), what),
      ['src/a/x.ts'],
      text,
    )
  const fine = `new Date(now); clock.now(); // Math.random(), setTimeout()`
  for (const what of ['clock', 'random', 'timer', 'environment'] as const)
    assert.deepEqual(ambientUses(sampleTree({ 'src/a/x.ts': fine }), what), [])
})

test('an export that no other file reads is found', () => {
  const tree = sampleTree({
    'src/a/x.ts': 'export const one = 1; export const two = 2; export type Three = 3; export const four = 4',
    'src/a/y.ts': `import { one } from './x.ts'; const { two } = await import('./x.ts')`,
    'src/a/whole.ts': 'export const all = 1',
    'src/a/z.ts': `import * as whole from './whole.ts'`,
  })
  assert.deepEqual(unusedExports(tree), ['src/a/x.ts Three', 'src/a/x.ts four'])
})

test('a test name without a subject, or without a sentence, is found', () => {
  const text = `
    test('is translated at once', () => {})
    test('permanent neighbours', () => {})
    test('a pod’s first packet uses the egress IP', () => {})
    describe('a pod', () => { test('is found', () => {}) })`
  assert.deepEqual(poorTestNames(sampleTree({ 'src/a/x.test.ts': text })), [
    'src/a/x.test.ts: is translated at once',
    'src/a/x.test.ts: permanent neighbours',
  ])
})

test('a setting that no process reads is found', () => {
  const tree = sampleTree({
    'src/install/configuration.ts':
      'export interface Configuration {\n  readonly mtu: number\n  readonly slots: number\n  readonly idle: number\n}',
    'src/agent/x.ts': 'const { slots } = this.configuration; use(configuration.mtu); const idle = 3',
  })
  assert.deepEqual(unreadSettings(tree), ['idle'])
})
