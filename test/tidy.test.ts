import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { test } from 'node:test'

/**
 * The house: which folder may import from which, and why. A folder imports from itself and from those above it here.
 */
const rungs: readonly (readonly [folder: string, reason: string])[] = [
  ['net', 'addresses, prefixes and port ranges are values: they import nothing'],
  ['api', 'kinds are shapes: the command line and a page in a browser import them, so nothing here does I/O'],
  ['decide', 'decisions are pure: no clock, no I/O, no randomness'],
  ['runtime', 'the loop knows loops, not gateways'],
  ['kube', 'a Kubernetes client must not know what a group is'],
  ['linux', 'netlink, routes and namespaces know no BPF'],
  ['datapath', 'the kernel as tables never sees a Kubernetes object'],
  ['install', 'manifests and settings are data: processes read them, and the command line renders them'],
  ['operator', 'a process: nothing below it may depend on it'],
  ['agent', 'a process: others talk to it through its local API'],
  ['cni', 'a process that is started for every pod imports as little as it can'],
  ['cli', 'the command line asks the agent and never becomes one'],
  ['lab', 'the lab is for people and tests: nothing imports it'],
]

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

test('every folder of src has its rung', () => {
  const known = rungs.map(([folder]) => folder)
  assert.deepEqual(
    readdirSync(source).filter((name) => !known.includes(name)),
    [],
    'name the folder in the table above, with the reason for its place',
  )
})

for (const [rung, [folder, reason]] of rungs.entries())
  test(`src/${folder} imports only from itself and the rungs above it`, () => {
    const allowed = new Set(rungs.slice(0, rung + 1).map(([name]) => name))
    const wrong = files
      .filter((path) => folderOf(path) === folder && !path.endsWith('.test.ts'))
      .flatMap((path) =>
        importsOf(path)
          .filter((name) => name.startsWith('.'))
          .filter((name) => !allowed.has(folderOf(resolve(dirname(path), name))))
          .map((name) => `${relative(root, path)} imports ${name}`),
      )
    assert.deepEqual(wrong, [], reason)
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
