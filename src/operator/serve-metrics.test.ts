import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { systemClock } from '../runtime/clock.ts'
import { createLog } from '../runtime/log.ts'
import { serveMetrics } from './serve-metrics.ts'

const address = '127.0.0.1'

test('an operator whose port is taken serves its metrics when the port is free', async () => {
  const other = createServer().listen(0, address)
  await once(other, 'listening')
  const { port } = other.address() as { port: number }
  const stop = new AbortController()
  const clock = { ...systemClock, sleep: (_ms: number) => setTimeout(20) }
  const log = createLog('operator', 'silent')
  const serving = serveMetrics({ port, address, read: async () => 'up 1\n', clock, log }, stop.signal)
  await setTimeout(50)
  other.close()
  for (let tries = 0; ; tries++) {
    const response = await fetch(`http://${address}:${port}/metrics`).catch(() => undefined)
    if (response?.ok) {
      assert.equal(await response.text(), 'up 1\n')
      break
    }
    assert.ok(tries < 100, 'the port is not served')
    await setTimeout(20)
  }
  assert.equal((await fetch(`http://${address}:${port}/other`)).status, 404)
  stop.abort()
  await serving
})
