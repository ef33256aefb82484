import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import { test } from 'node:test'
import { ambientUses } from './tidy/ambient.ts'
import { forbiddenImports, importsOfBench } from './tidy/imports.ts'
import * as exceptions from './tidy/present-exceptions.ts'
import { rooms } from './tidy/rooms.ts'
import { crowdedFolders, longFiles, longFunctions } from './tidy/sizes.ts'
import { isProduct, readSources } from './tidy/sources.ts'
import { poorTestNames } from './tidy/test-names.ts'
import { unreadSettings } from './tidy/unread-settings.ts'
import { unusedExports } from './tidy/unused-exports.ts'

/** Node.js's own modules that do I/O, which the pure folders stay away from. */
const impureModules = /^node:(fs|net|http|https|dgram|child_process|worker_threads|timers|os|process|tls|dns)/
const pureFolders = ['net', 'api', 'decide']
const forbiddenNames = /(^|[-/])(utils?|helpers?|common|types|index|misc|shared)\.ts$/

const root = resolve(import.meta.dirname, '..')
const source = join(root, 'src')

function listFiles(directory: string): string[] {
  if (!existsSync(directory)) return []
  return readdirSync(directory).flatMap((name) => {
    const path = join(directory, name)
    return statSync(path).isDirectory() ? listFiles(path) : [path]
  })
}

const files = listFiles(source).filter((path) => path.endsWith('.ts'))

function importsOf(path: string): string[] {
  const text = readFileSync(path, 'utf8')
  return [...text.matchAll(/(?:^|\n)\s*(?:import|export)\b[^;'"]*?from\s+'([^']+)'/g)].map(
    (match) => match[1] ?? '',
  )
}

function folderOf(path: string): string {
  return relative(source, path).split('/')[0] ?? ''
}

const sources = readSources(root)
const product = sources.filter(({ path }) => isProduct(path))

/** Equal to a list that only gets shorter: a new offender fails, and so does one that is gone and still excused. */
const only = (found: readonly string[], excused: Readonly<Record<string, string>>, reason: string): void =>
  assert.deepEqual([...found].sort(), Object.keys(excused).sort(), reason)

test('a file imports from the rooms that its own may know', () => {
  const outside = sources.filter(({ path }) => path.startsWith('src/') || path.startsWith('test/'))
  only(forbiddenImports(outside, rooms), exceptions.imports, 'test/tidy/rooms.ts says why')
})

test('a test imports nothing of the benchmark', () => {
  only(importsOfBench(sources), exceptions.importsOfBench, 'what both need belongs to test/support')
})

test('a file has at most 300 lines', () => {
  only(longFiles(sources), exceptions.longFiles, 'divide it by what it is about')
})

test('a function has at most 70 lines', () => {
  only(longFunctions(sources), exceptions.longFunctions, 'a function fits a screen')
})

test('a folder of src has at most 15 sources', () => {
  only(crowdedFolders(sources), exceptions.crowdedFolders, 'make folders by concern')
})

for (const [what, reason] of [
  ['clock', 'time is an argument'],
  ['random', 'a simulation replays by its seed: take random from src/runtime/random.ts'],
  ['timer', 'a test waits for a timer: take a clock'],
  ['environment', 'where a process begins, its environment is read, and nowhere else'],
] as const)
  test(`a function takes its ${what} as an argument`, () => {
    const relevant = product.filter(({ path }) => what === 'random' || !path.startsWith('src/lab/'))
    only(ambientUses(relevant, what), exceptions.ambient[what], reason)
  })

test('an export has a reader in another file', () => {
  const folders = Object.keys(exceptions.foldersWithUnusedExports)
  const unused = unusedExports(sources).filter((each) => !folders.some((folder) => each.startsWith(folder)))
  only(unused, {}, 'make it private, or delete it')
})

test('a test has a sentence for a name', () => {
  only(poorTestNames(sources), {}, 'at least three words, the subject first')
})

test('a setting of the processes is read by one', () => {
  only(unreadSettings(sources), exceptions.unreadSettings, 'a setting that nobody reads has no effect')
})

test('pure folders import no module that does I/O', () => {
  const wrong = files
    .filter((path) => pureFolders.includes(folderOf(path)) && !path.endsWith('.test.ts'))
    .flatMap((path) =>
      importsOf(path)
        .filter((name) => impureModules.test(name))
        .map((name) => `${relative(root, path)} imports ${name}`),
    )
  assert.deepEqual(wrong, [], 'a decision that does I/O cannot be tested against an oracle')
})

test('the wall clock tells people a time, and measures nothing: it steps by hours where it was wrong', () => {
  const told = /new Date\(.*clock\.now\(\)|eventName\(|describeDrop\(/
  const lines = files
    .filter((path) => /^(runtime|kube|operator|agent)$/.test(folderOf(path)))
    .flatMap((path) =>
      readFileSync(path, 'utf8')
        .split('\n')
        .map((line) => `${relative(root, path)}: ${line.trim()}`),
    )
  assert.deepEqual(
    lines.filter((line) => /[cC]lock\.now\(\)/.test(line) && !told.test(line)),
    [],
    'use monotonicMs for what lasts',
  )
})

test('a file is named after what it holds', () => {
  assert.deepEqual(
    files.map((path) => relative(root, path)).filter((path) => forbiddenNames.test(path)),
    [],
    'say what is in it',
  )
})

test('imports of our own files name the file', () => {
  const wrong = files.flatMap((path) =>
    importsOf(path)
      .filter((name) => name.startsWith('.') && !/\.(ts|json)$/.test(name))
      .map((name) => `${relative(root, path)} imports ${name}`),
  )
  assert.deepEqual(wrong, [], 'Node.js runs the sources as they are: an import ends in .ts')
})

test('the lock file holds no download addresses', () => {
  const lock = readFileSync(join(root, 'package-lock.json'), 'utf8')
  assert.equal(/"resolved": "https?:/.test(lock), false, 'set omit-lockfile-registry-resolved=true in .npmrc')
})

test('dependencies are pinned', () => {
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Record<
    string,
    Record<string, string>
  >
  const versions = ['dependencies', 'devDependencies', 'optionalDependencies'].flatMap((kind) =>
    Object.entries(manifest[kind] ?? {}),
  )
  assert.deepEqual(
    versions.filter(([, version]) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version)),
    [],
    'an exact version each',
  )
})

test('nothing is left open in the sources', () => {
  const tracked = execFileSync('git', ['ls-files', 'src', 'test', 'bpf', 'bench', 'image'], {
    cwd: root,
    encoding: 'utf8',
  })
  const marked = tracked
    .split('\n')
    .filter(
      (path) => /\.(ts|c|h)$/.test(path) && path !== 'test/tidy.test.ts' && existsSync(join(root, path)),
    )
    .filter((path) => /\b(TODO|FIXME|XXX)\b|\.only\(/.test(readFileSync(join(root, path), 'utf8')))
  assert.deepEqual(marked, [], 'finish it, or say in docs/decisions why not')
})
