import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { test } from 'node:test'
import type { Command } from 'commander'
import { buildProgram } from '../src/cli/program.ts'
import { labCommand } from '../src/lab/command.ts'
import { literalsOf } from './support/literals.ts'
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

/** Of YAML the comments and the descriptions, which run over several lines. */
function yamlTexts(path: string): Passage[] {
  const text = read(path)
    .replace(/\n\s*#/g, '\n')
    .replace(/^\s*[\w.-]+:(?= |$)/gm, '')
  return [{ where: path, text: text.replace(/\s+/g, ' ') }]
}

function literals(path: string): Passage[] {
  return literalsOf(read(path))
    .filter(({ text }) => /[a-z] [a-z]/i.test(text))
    .map(({ line, text }) => ({ where: `${path}:${line}`, text: text.replace(/\s+/g, ' ') }))
}

function helpOf(command: Command, parents: readonly string[] = []): Passage[] {
  const words = [...parents, command.name()]
  const parts: string[] = []
  command.configureOutput({ writeOut: (part) => void parts.push(part) }).outputHelp()
  const below = command.commands.flatMap((each) => helpOf(each, words))
  return [{ where: `${words.join(' ')} --help`, text: parts.join('').replace(/\s+/g, ' ') }, ...below]
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
    'Packets pass by nftables rules.',
    'Packets pass it by.',
    'It sends them out past its own rules.',
    'Replies do not pass the stack.',
    'Packets do not pass netfilter.',
    'Interface eth1 is down. Set it up.',
    'A device that is never set up',
  ]
  const right = [
    'There is no gateway.',
    'kubectl delete pod hangs until the plugin answers.',
    'the well-known label',
    'the other node’s address',
    'Who answers for it now?',
    'Packets go through the stack.',
    'It was so in the past.',
    'Kubernetes sets up the cluster.',
  ]
  assert.deepEqual(
    wrong.filter((text) => findReplaced(text).length === 0),
    [],
  )
  assert.deepEqual(right.flatMap(findReplaced), [])
})

test('literals are found in code: strings, templates with values in them, and nothing else', () => {
  const source = [
    "const a = 'one two' // 'three four'",
    `const b = /it's/.test(a) ? 8 / 2 : \`five \${wrap({ c: 'six' })} seven \${'eight'}\``,
    '/* "nine" */ const c = "ten"',
  ]
  assert.deepEqual(
    literalsOf(source.join('\n')).map(({ line, text }) => `${line} ${text}`),
    ['1 one two', '2 six', '2 eight', '2 five … seven …', '3 ten'],
  )
})

for (const path of tracked(':(glob)*.md', ':(glob)docs/**/*.md'))
  test(`${path} uses the words of the glossary`, () => {
    assert.deepEqual(complaints(paragraphs(path)), [], remedy)
  })

test('every help text uses the words of the glossary', async () => {
  const commands = await buildProgram('sallyport', undefined)
  const passages = [...helpOf(commands), ...helpOf(labCommand(), ['sallyport'])]
  assert.ok(passages.length > 20)
  assert.deepEqual(complaints(passages), [], remedy)
})

test('manifests, definitions and chart use the words of the glossary', () => {
  const paths = tracked('deploy').filter((path) => /\.(yaml|txt|json|tpl)$/.test(path))
  assert.ok(paths.length > 20)
  assert.deepEqual(complaints(paths.flatMap(yamlTexts)), [], remedy)
})

/* Conditions, Events, log messages, help of metrics and settings, output of commands: strings of at least two words. */
const folders = new Set(tracked('src').map((path) => path.split('/')[1] ?? ''))
for (const folder of folders)
  test(`texts in src/${folder} use the words of the glossary`, () => {
    const paths = tracked(`src/${folder}`).filter((path) => /\.ts$/.test(path) && !path.endsWith('.test.ts'))
    assert.deepEqual(complaints(paths.flatMap(literals)), [], remedy)
  })
