import assert from 'node:assert/strict'
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { LogFile } from './log-file.ts'

const scratch = mkdtempSync(join(tmpdir(), 'sallyport-log-'))
after(() => rmSync(scratch, { recursive: true }))
let count = 0
const newOptions = () => ({ directory: join(scratch, String(count++)), maxBytes: 100, files: 3 })
const line = (index: number): string => `line ${String(index).padStart(4, '0')}` // 10 bytes with the newline

test('a full file is rotated, and the oldest is removed', () => {
  const options = newOptions()
  using file = new LogFile(options)
  for (let index = 0; index < 35; index++) file.append(line(index))
  assert.deepEqual(readdirSync(options.directory).sort(), ['nat.log', 'nat.log.1', 'nat.log.2'])
  const first = (name: string) => readFileSync(join(options.directory, name), 'utf8').split('\n')[0]
  assert.deepEqual(['nat.log', 'nat.log.1', 'nat.log.2'].map(first), [line(30), line(20), line(10)])
  assert.equal(statSync(join(options.directory, 'nat.log')).mode & 0o777, 0o640)
})

test('a process continues the file of an earlier process, without its incomplete last line', () => {
  const options = newOptions()
  {
    using file = new LogFile(options)
    file.append(line(1))
  }
  appendFileSync(join(options.directory, 'nat.log'), 'half')
  using file = new LogFile(options)
  assert.equal(file.lastLine(), line(1))
  file.append(line(2))
  assert.equal(readFileSync(join(options.directory, 'nat.log'), 'utf8'), `${line(1)}\n${line(2)}\n`)
})

test('the last line can be in the file before', () => {
  const options = { ...newOptions(), maxBytes: 10 }
  {
    using file = new LogFile(options)
    assert.equal(file.lastLine(), undefined)
    file.append(line(1))
    file.append(line(2))
  }
  rmSync(join(options.directory, 'nat.log'))
  using file = new LogFile(options)
  assert.equal(file.lastLine(), line(1))
})

test('with one file, rotation replaces the file', () => {
  const options = { ...newOptions(), files: 1 }
  using file = new LogFile(options)
  for (let index = 0; index < 15; index++) file.append(line(index))
  assert.deepEqual(readdirSync(options.directory), ['nat.log'])
  assert.equal(file.lastLine(), line(14))
})
