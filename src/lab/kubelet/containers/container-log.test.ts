import assert from 'node:assert/strict'
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { followLog, readLog, tailOf } from './container-log.ts'

describe('a container’s log', () => {
  const directory = mkdtempSync(join(tmpdir(), 'container-log-'))
  after(() => rmSync(directory, { recursive: true }))

  const tails = [
    { name: 'the last of three', log: 'a\nb\nc\n', lines: 1, expect: 'c\n' },
    { name: 'a last line without its end counts', log: 'a\nb\nc', lines: 2, expect: 'b\nc' },
    { name: 'as many as there are', log: 'a\nb\n', lines: 2, expect: 'a\nb\n' },
    { name: 'more than there are', log: 'a\nb\n', lines: 9, expect: 'a\nb\n' },
    { name: 'none', log: 'a\n', lines: 0, expect: '' },
    { name: 'empty lines are lines', log: 'a\n\n\n', lines: 2, expect: '\n\n' },
    { name: 'an empty file', log: '', lines: 3, expect: '' },
  ]
  for (const { name, log, lines, expect } of tails)
    test(`tail: ${name}`, () => assert.equal(tailOf(Buffer.from(log), lines).toString(), expect))

  test('a file that is not there yet is empty', () =>
    assert.equal(readLog(join(directory, 'absent')).length, 0))

  test('is followed until its container ends, and nothing of it is missed', async () => {
    const logFile = join(directory, 'followed')
    writeFileSync(logFile, 'before\n')
    appendFileSync(logFile, 'one\n')
    let isAlive = true
    let told = ''
    for await (const chunk of followLog(
      { logFile, isAlive: () => isAlive, decode: (text) => ({ text, consumed: text.length }) },
      7,
      new AbortController().signal,
    )) {
      told += chunk.toString()
      if (told === 'one\n') appendFileSync(logFile, 'two\n')
      else if (isAlive) {
        appendFileSync(logFile, 'last words\n')
        isAlive = false
      }
    }
    assert.equal(told, 'one\ntwo\nlast words\n')
  })
})
