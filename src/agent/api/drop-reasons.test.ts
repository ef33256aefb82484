import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { defaultObjectFile } from '../../datapath/datapath.ts'
import { readBtf } from '../../datapath/layout/btf.ts'
import { describeVerdict, dropReasons } from './drop-reasons.ts'

test('every drop of the datapath has a text and a remedy, and no two the same text', {
  skip: existsSync(defaultObjectFile) ? false : 'the datapath is not compiled',
}, () => {
  const verdicts = [...readBtf(defaultObjectFile).enumeration('verdict').keys()]
  const drops = verdicts.filter((name) => name.startsWith('DROP_'))
  assert.deepEqual(Object.keys(dropReasons).sort(), drops.sort())
  const texts = Object.values(dropReasons).map(({ text }) => text)
  assert.equal(new Set(texts).size, texts.length)
  for (const { remedy } of Object.values(dropReasons)) assert.notEqual(remedy, '')
})

test('a drop is named by its verdict, in the same words everywhere', () => {
  assert.equal(describeVerdict('DROP_NO_GATEWAY'), 'No egress gateway found (DROP_NO_GATEWAY)')
  assert.equal(describeVerdict('DROP_OF_TOMORROW'), 'DROP_OF_TOMORROW (DROP_OF_TOMORROW)')
})

test('docs/networks.md lists every reason in these words', () => {
  const text = readFileSync(new URL('../../../docs/networks.md', import.meta.url), 'utf8')
  const listed = text.split('\n').filter((line) => line.startsWith('| `DROP_'))
  const expected = Object.entries(dropReasons).map(
    ([name, { text: meaning, remedy }]) =>
      `| \`${name}\` | ${meaning} | ${remedy.charAt(0).toUpperCase()}${remedy.slice(1)}. |`,
  )
  assert.deepEqual(listed, expected)
})
