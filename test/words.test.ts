import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { test } from 'node:test'
import { findReplaced } from './support/replaced-words.ts'

/* One thing has one name, in every text that a user reads: docs/glossary.md. */

const root = resolve(import.meta.dirname, '..')

/** A text that users read, and where it stands. */
interface Passage {
  readonly where: string
  readonly text: string
}

function tracked(...patterns: readonly string[]): readonly string[] {
  return execFileSync('git', ['ls-files', ...patterns], { cwd: root, encoding: 'utf8' })
    .split('\n')
    .filter((path) => path !== '')
}

const read = (path: string): string => readFileSync(join(root, path), 'utf8')

/** By paragraph, so that a phrase that a line break divides is found too. Code has its own names, and italics quote tests. */
function paragraphs(path: string): Passage[] {
  const prose = read(path)
    .replace(/^```[\s\S]*?^```/gm, (block) => block.replace(/[^\n]/g, ''))
    .replace(/`[^`\n]*`/g, 'code')
    .replace(/(?<!\*)\*[^*\n]+\*(?!\*)/g, 'quoted')
  let line = 1
  return prose.split(/(\n\n+)/).flatMap((text) => {
    const where = `${path}:${line}`
    line += text.split('\n').length - 1
    return text.trim() === '' ? [] : [{ where, text: text.replace(/\s+/g, ' ') }]
  })
}

function complaints(passages: readonly Passage[]): string[] {
  return passages.flatMap(({ where, text }) => findReplaced(text).map((found) => `${where}: ${found}`))
}

const remedy = 'write it by the words of docs/glossary.md'

test('replaced words are found, also across a line break, and their other meanings are not', () => {
  const wrong = [
    'Nobody answers for the address.',
    'Somebody took the program off.',
    "The rest is the other's.",
    'A gateway that is not heard',
    'all is well',
    'an old mapping is taken apart',
    'Agents serve metrics by themselves.',
    'The list begins anew.',
    'This sender is no node of the cluster.',
    'Who can answer ARP takes the address.',
  ]
  const right = [
    'There is no gateway.',
    'kubectl delete pod hangs until the plugin answers.',
    'the well-known label',
    'the other node’s address',
    'Who answers for it now?',
  ]
  assert.deepEqual(
    wrong.filter((text) => findReplaced(text).length === 0),
    [],
  )
  assert.deepEqual(right.flatMap(findReplaced), [])
})

for (const path of tracked(':(glob)*.md', ':(glob)docs/**/*.md'))
  test(`${path} uses the words of the glossary`, () => {
    assert.deepEqual(complaints(paragraphs(path)), [], remedy)
  })
