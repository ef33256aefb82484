import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { writeAtomically } from './atomic-directory.ts'
import type { VolumeFile } from './volume-files.ts'

const directory = mkdtempSync(join(tmpdir(), 'volume-test-'))
after(() => rmSync(directory, { recursive: true, force: true }))

const files = (contents: Readonly<Record<string, string>>, mode = 0o644): Map<string, VolumeFile> =>
  new Map(
    Object.entries(contents).map(([path, text]) => [path, { content: Buffer.from(text), mode }] as const),
  )
const shown = (): string[] => readdirSync(directory).filter((name) => !name.startsWith('..'))

test('a volume has its files at their paths, with their modes', () => {
  writeAtomically(directory, files({ token: 'one', 'deep/er': 'below' }, 0o600))
  assert.deepEqual(shown(), ['deep', 'token'])
  assert.equal(readFileSync(join(directory, 'deep/er'), 'utf8'), 'below')
  assert.equal(statSync(join(directory, 'token')).mode & 0o777, 0o600)
})

test('the same files again touch nothing, changed ones come all at one moment', () => {
  const data = (): string => readlinkSync(join(directory, '..data'))
  const before = data()
  writeAtomically(directory, files({ token: 'one', 'deep/er': 'below' }, 0o600))
  assert.equal(data(), before)
  writeAtomically(directory, files({ token: 'two' }))
  assert.notEqual(data(), before)
  assert.equal(readFileSync(join(directory, 'token'), 'utf8'), 'two')
  assert.deepEqual(shown(), ['token'])
  assert.equal(readdirSync(directory).length, 3, 'a link to the files, the files, and a link to each')
})

test('a path that leads out of the volume is refused', () => {
  for (const path of ['../up', '/absolute', 'a/../../b', '..hidden', ''])
    assert.throws(() => writeAtomically(directory, files({ [path]: 'x' })), /must be relative/)
})
