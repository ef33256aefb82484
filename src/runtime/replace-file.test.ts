import assert from 'node:assert/strict'
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeEach, type TestContext, test } from 'node:test'
import { replaceFile } from './replace-file.ts'

let path = ''

beforeEach((context) => {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-replace-'))
  ;(context as TestContext).after(() => rmSync(folder, { recursive: true }))
  path = join(folder, 'state.json')
})

const modeOf = (file: string): number => statSync(file).mode & 0o777

test('a file is created, then replaced, and nothing stays beside it', () => {
  replaceFile(path, 'first')
  replaceFile(path, 'second')
  assert.equal(readFileSync(path, 'utf8'), 'second')
  assert.deepEqual(readdirSync(join(path, '..')), ['state.json'])
})

test('a process that has the old file open still reads the old file', () => {
  replaceFile(path, 'old')
  const descriptor = openSync(path, 'r')
  replaceFile(path, 'new')
  assert.equal(readFileSync(descriptor, 'utf8'), 'old')
  closeSync(descriptor)
})

test('a failed write leaves the old file as it was', () => {
  replaceFile(path, 'old', 0o600)
  mkdirSync(`${path}.new`)
  assert.throws(() => replaceFile(path, 'new', 0o644), { code: 'EISDIR' })
  assert.equal(readFileSync(path, 'utf8'), 'old')
  assert.equal(modeOf(path), 0o600)
})

test('a failed copy leaves the old file as it was, and the next attempt succeeds', () => {
  replaceFile(path, 'old')
  assert.throws(() => replaceFile(path, { copyOf: `${path}.missing` }), { code: 'ENOENT' })
  assert.equal(readFileSync(path, 'utf8'), 'old')
  replaceFile(path, 'new')
  assert.equal(readFileSync(path, 'utf8'), 'new')
})

test('the mode does not depend on the umask or on what a killed process left beside the file', () => {
  writeFileSync(`${path}.new`, 'half', { mode: 0o644 })
  replaceFile(path, 'secret', 0o600)
  assert.equal(modeOf(path), 0o600)
  const umask = process.umask(0o077)
  try {
    replaceFile(path, 'public', 0o644)
  } finally {
    process.umask(umask)
  }
  assert.equal(modeOf(path), 0o644)
})

test('a copy has the content and the mode of its source, or the mode that the caller names', () => {
  const source = `${path}.source`
  writeFileSync(source, 'content', { mode: 0o640 })
  replaceFile(path, { copyOf: source })
  assert.equal(readFileSync(path, 'utf8'), 'content')
  assert.equal(modeOf(path), 0o640)
  replaceFile(path, { copyOf: source }, 0o755)
  assert.equal(modeOf(path), 0o755)
})
