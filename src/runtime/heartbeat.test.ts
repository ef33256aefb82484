import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { keepHeartbeat } from './heartbeat.ts'
import { createLog } from './log.ts'

test('the file is new at once and every few seconds, and is there again when it was taken away', (context) => {
  context.mock.timers.enable({ apis: ['setInterval', 'Date'] })
  const directory = mkdtempSync(join(tmpdir(), 'sallyport-heartbeat-'))
  context.after(() => rmSync(directory, { recursive: true, force: true }))
  const file = join(directory, 'alive')
  const timer = keepHeartbeat(file, 5_000, createLog('test', 'fatal'))
  assert.equal(readFileSync(file, 'utf8'), '1970-01-01T00:00:00.000Z')
  context.mock.timers.tick(5_000)
  assert.equal(readFileSync(file, 'utf8'), '1970-01-01T00:00:05.000Z')
  rmSync(file)
  context.mock.timers.tick(5_000)
  assert.equal(readFileSync(file, 'utf8'), '1970-01-01T00:00:10.000Z')
  rmSync(directory, { recursive: true })
  assert.doesNotThrow(() => context.mock.timers.tick(5_000))
  clearInterval(timer)
})
