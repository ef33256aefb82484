import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { test } from 'node:test'
import { conditionReasons } from '../src/decide/status/conditions.ts'

/* The documents name files, headings and tests. A rename must not leave them behind. */

const root = resolve(import.meta.dirname, '..')
const read = (path: string): string => readFileSync(join(root, path), 'utf8')
const listTracked = (pattern: string): readonly string[] =>
  execFileSync('git', ['ls-files', pattern], { cwd: root, encoding: 'utf8' }).split('\n').filter(Boolean)
const documents = [...listTracked(':(glob)*.md'), ...listTracked(':(glob)docs/**/*.md')]

/** As code hosts make them: lower case, punctuation left out, a dash for each space. */
function anchorsOf(markdown: string): readonly string[] {
  return [...markdown.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  )
}

/** Links to files or headings that are not there. */
function brokenLinks(path: string, markdown: string): string[] {
  return [...markdown.matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, link = '']) => {
    if (/^[a-z]+:/.test(link)) return []
    const [file = '', anchor] = link.split('#')
    const target = file === '' ? path : join(dirname(path), file)
    if (!existsSync(join(root, target))) return [link]
    return anchor === undefined || anchorsOf(file === '' ? markdown : read(target)).includes(anchor)
      ? []
      : [link]
  })
}

/** Files of the repository that are named as code. */
function missingFiles(markdown: string): string[] {
  const named = [
    ...markdown.matchAll(/`((?:src|bpf|test|bench|image|packaging|deploy|docs|bin)\/[\w./-]*)`/g),
  ]
  return named.map(([, path = '']) => path).filter((path) => !existsSync(join(root, path)))
}

test('a broken link, a missing heading and a missing file are found', () => {
  assert.deepEqual(brokenLinks('README.md', '[a](docs/none.md) [b](#none) [c](#here)\n## Here'), [
    'docs/none.md',
    '#none',
  ])
  assert.deepEqual(missingFiles('`src/none.ts`, `src/net/`'), ['src/none.ts'])
})

for (const path of documents)
  test(`${path} names files and headings that exist`, () => {
    assert.deepEqual([...brokenLinks(path, read(path)), ...missingFiles(read(path))], [])
  })

/** Pages for users. Decisions are for contributors, and the README links their folder. */
const pages = documents.filter((path) => /^docs\/[^/]+$/.test(path))

test('the README links every page of docs/', () => {
  const readme = read('README.md')
  assert.ok(pages.length > 15)
  assert.deepEqual(
    pages.filter((path) => !readme.includes(`](${path})`)),
    [],
  )
})

test('every page of docs/ says in its first sentence for whom it is', () => {
  assert.deepEqual(
    pages.filter((path) => !/^# .*\n\nThis page is for /.test(read(path))),
    [],
  )
})

/** What each kind of name in the documents looks like, and where the name is made. */
const names: readonly { kind: string; pattern: RegExp; sources: string }[] = [
  { kind: 'verdicts', pattern: /\b(?:DROP|PASS|SENT)_[A-Z_]+\b/g, sources: 'bpf/types.h' },
  {
    kind: 'conditions and reasons',
    pattern: /(?<=(?:condition|reason|Event)s? `)[A-Za-z]+(?=`)/g,
    sources: ':(glob)src/**/*.ts',
  },
  { kind: 'metrics', pattern: /\bsallyport_[a-z_]+\b/g, sources: ':(glob)src/**/*.ts' },
]
for (const { kind, pattern, sources } of names)
  test(`the documents name ${kind} that exist`, () => {
    const known = listTracked(sources).map(read).join('\n')
    const named = new Set(documents.flatMap((path) => read(path).match(pattern) ?? []))
    assert.ok(named.size > 3)
    assert.deepEqual(
      [...named].filter((name) => !known.includes(name)),
      [],
    )
  })

test('docs/failure-modes.md quotes log messages that exist', () => {
  const sources = listTracked(':(glob)src/**/*.ts').map(read).join('\n')
  const quoted = [...read('docs/failure-modes.md').matchAll(/(?:logs|log says) `([^`…]+)/g)]
  assert.equal(quoted.length, 2)
  assert.deepEqual(
    quoted.map(([, message = '']) => message).filter((message) => !sources.includes(message)),
    [],
  )
})

/** Rows that only one of two lists has. */
function differences(written: readonly string[], known: readonly string[]): readonly string[] {
  return [
    ...written.filter((each) => !known.includes(each)).map((each) => `not in the code: ${each}`),
    ...known.filter((each) => !written.includes(each)).map((each) => `not in the page: ${each}`),
  ]
}

/** By heading: the condition and the reason of each row. */
function conditionRows(page: string): readonly string[] {
  return page.split(/^## /m).flatMap((section) => {
    const rows = [...section.matchAll(/^\| `([\w./]+)` \| (?:True|False) \| `(\w+)` \|/gm)]
    return rows.map(([, type, reason]) => `${section.split('\n')[0]}: ${type} ${reason}`)
  })
}

test('docs/conditions.md explains every condition and reason of the code, and no others', () => {
  const { policy, egressNode, egressAddress } = conditionReasons
  const known = Object.entries({ Policies: policy, EgressNodes: egressNode, EgressAddresses: egressAddress })
    .flatMap(([section, types]) =>
      Object.entries<readonly string[]>(types).map((each) => [section, ...each] as const),
    )
    .flatMap(([section, type, reasons]) => reasons.map((reason) => `${section}: ${type} ${reason}`))
  const page = read('docs/conditions.md')
  assert.ok(known.length > 25)
  assert.deepEqual(differences(conditionRows(page), known), [])
  const row = /^\| `Shadowed` .*\n/m
  const renamed = page.replace(row, '| `Hidden` | True | `OlderPolicyWins` | | |\n')
  assert.deepEqual(differences(conditionRows(renamed), known), [
    'not in the code: Policies: Hidden OlderPolicyWins',
    'not in the page: Policies: Shadowed OlderPolicyWins',
  ])
})

test('every condition and reason that docs/conditions.md explains is written somewhere', () => {
  const sources = listTracked(':(glob)src/decide/**/*.ts')
    .filter((path) => !path.endsWith('.test.ts') && !path.endsWith('/conditions.ts'))
    .map(read)
    .join('\n')
  const names = Object.values(conditionReasons).flatMap((types) => Object.entries(types).flat(2))
  assert.deepEqual(
    names.filter((name) => !new RegExp(`'${name}'|\\b${name}: '`).test(sources)),
    [],
  )
})

test('docs/conditions.md explains every Event', () => {
  const [, section = ''] = read('docs/conditions.md').split('## Events')
  const rows = [...section.matchAll(/^\| (`.*?) \| (?:Normal|Warning) \|/gm)]
  const written = rows.flatMap(([, cell = '']) => [...cell.matchAll(/`(\w+)`/g)].map(([, name = '']) => name))
  const sources = listTracked(':(glob)src/decide/status/*events.ts').map(read).join('\n')
  const literals = [...sources.matchAll(/reason: '(\w+)'/g)].map(([, name = '']) => name)
  const ofConditions = ['PodsRefused', 'PoolExhausted', ...conditionReasons.egressAddress.Exhausted]
  assert.deepEqual(differences(written, [...new Set([...literals, ...ofConditions])]), [])
})

test('ARCHITECTURE.md names maps, fields and programs that exist', () => {
  const sources = listTracked('bpf').map(read).join('\n')
  const named = [...read('ARCHITECTURE.md').matchAll(/`([a-z]+(?:_[a-z]+)+|[A-Z]+(?:_[A-Z]+)+)`/g)].map(
    ([, name = '']) => name,
  )
  assert.ok(named.length > 20)
  assert.deepEqual(
    named.filter((name) => !new RegExp(`\\b${name}\\b`).test(sources)),
    [],
  )
})

test('docs/rfc.md names tests that exist', () => {
  const tests = listTracked('test/packets/*.ts').map(read).join('\n')
  const names = [...read('docs/rfc.md').matchAll(/(?<!\*)\*([^*\n]+)\*(?!\*)/g)].map(([, name = '']) => name)
  assert.ok(names.length > 20)
  assert.deepEqual(
    names.filter(
      (name) =>
        !tests.includes(name.replace(/^…/, '').replaceAll("'", "\\'")) &&
        !tests.includes(name.replace(/^…/, '')),
    ),
    [],
  )
})
