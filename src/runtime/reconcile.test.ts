import assert from 'node:assert/strict'
import { beforeEach, describe, test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { type Clock, systemClock } from './clock.ts'
import { createLog } from './log.ts'
import { Loop } from './reconcile.ts'

/** Timers fire when the test lets time pass. */
class SteppedClock implements Clock {
  nowMs = 1_000_000
  readonly #timers = new Set<{ readonly atMs: number; readonly run: () => void }>()
  now = (): number => this.nowMs
  monotonicMs = (): number => this.nowMs
  monotonicNs = (): bigint => BigInt(this.nowMs) * 1_000_000n
  every = systemClock.every

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => void this.after(ms, resolve))
  }

  after(ms: number, run: () => void): () => void {
    const timer = { atMs: this.nowMs + ms, run }
    this.#timers.add(timer)
    return () => void this.#timers.delete(timer)
  }

  async pass(ms: number): Promise<void> {
    this.nowMs += ms
    for (const timer of [...this.#timers])
      if (timer.atMs <= this.nowMs) {
        this.#timers.delete(timer)
        timer.run()
      }
    await setImmediate()
  }
}

describe('a loop whose background interval is a second', () => {
  let clock: SteppedClock
  let runs: number
  let loop: Loop
  beforeEach(async (context) => {
    clock = new SteppedClock()
    runs = 0
    loop = new Loop({
      name: 'test',
      run: async () => void runs++,
      clock,
      log: createLog('test', 'silent'),
      backgroundIntervalMs: 1_000,
    })
    const stop = new AbortController()
    if ('after' in context) context.after(() => stop.abort())
    void loop.start(stop.signal)
    loop.triggerInBackground()
    await clock.pass(0)
  })

  test('runs at once when it has rested for as long', async () => {
    assert.equal(runs, 1)
    await clock.pass(5_000)
    loop.triggerInBackground()
    await clock.pass(0)
    assert.equal(runs, 2)
  })

  test('makes one run of all background triggers of that second', async () => {
    for (let times = 0; times < 9; times++) {
      loop.triggerInBackground()
      await clock.pass(100)
    }
    assert.equal(runs, 1)
    await clock.pass(100)
    assert.equal(runs, 2)
    await clock.pass(5_000)
    assert.equal(runs, 2)
  })

  test('runs at once when a caller waits, and then also does what was due later', async () => {
    loop.triggerInBackground()
    await clock.pass(100)
    const settled = loop.settle()
    await clock.pass(0)
    await settled
    assert.equal(runs, 2)
    await clock.pass(5_000)
    assert.equal(runs, 2)
  })
})
