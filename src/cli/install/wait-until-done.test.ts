import assert from 'node:assert/strict'
import { afterEach, beforeEach, mock, test } from 'node:test'
import { KubeError } from '../../kube/kube-error.ts'
import { type Progress, waitUntilDone } from './wait-until-done.ts'

const intervals = { checkMs: 1, reasonsMs: 20, repeatMs: 120 }
const stalled: Progress = { line: '1 of 2', isDone: false, reasons: async () => ['pod two: FailedMount'] }

/* The tests have a clock of their own, so that they do not depend on how busy the machine is. */
beforeEach(() => mock.timers.enable({ apis: ['setTimeout', 'Date'] }))
afterEach(() => mock.timers.reset())

/** Time passes only while everybody sleeps. */
async function wait(...call: Parameters<typeof waitUntilDone>): Promise<boolean> {
  let isOver = false
  const waiting = waitUntilDone(...call).finally(() => {
    isOver = true
  })
  waiting.catch(() => {})
  while (!isOver) {
    await new Promise((resolve) => setImmediate(resolve))
    mock.timers.tick(1)
  }
  return waiting
}

function printed(): { readonly lines: string[]; readonly print: (line: string) => void } {
  const lines: string[] = []
  return { lines, print: (line) => void lines.push(line) }
}

test('a wait prints one line per change, and no reasons if it makes progress', async () => {
  const { lines, print } = printed()
  const states = ['0 of 2', '0 of 2', '1 of 2', '2 of 2']
  const check = async (): Promise<Progress> => {
    const line = states.shift() ?? assert.fail('checked again after it was done')
    return { ...stalled, line, isDone: line === '2 of 2' }
  }
  const slow = { ...intervals, reasonsMs: 60_000 }
  assert.equal(await wait(check, { print, stallTimeoutMs: 10_000, intervals: slow }), true)
  assert.deepEqual(lines, ['0 of 2', '1 of 2', '2 of 2'])
})

test('a wait without progress prints the reasons, repeats them and gives up', async () => {
  const { lines, print } = printed()
  assert.equal(await wait(async () => stalled, { print, stallTimeoutMs: 300, intervals }), false)
  assert.deepEqual(lines.slice(0, 2), ['1 of 2', '  pod two: FailedMount'])
  assert.match(lines[2] ?? '', /^1 of 2 \(unchanged for \d+ s\)$/)
  assert.equal(lines[3], '  pod two: FailedMount')
})

test('a wait with a short timeout prints the reasons once', async () => {
  const { lines, print } = printed()
  assert.equal(
    await wait(async () => stalled, { print, stallTimeoutMs: 9_000, timeoutMs: 5, intervals }),
    false,
  )
  assert.equal(lines.at(-1), '  pod two: FailedMount')
})

test('a wait continues while the API server does not answer, and says so', async () => {
  const { lines, print } = printed()
  let times = 0
  const check = async (): Promise<Progress> => {
    if (times++ < 3) throw new Error('connect ECONNREFUSED')
    return { ...stalled, line: '2 of 2', isDone: true }
  }
  assert.equal(await wait(check, { print, stallTimeoutMs: 9_000, intervals }), true)
  assert.deepEqual(lines, ['the API server does not answer: connect ECONNREFUSED', '2 of 2'])
})

test('a wait ends with an error if the API server refuses the request', async () => {
  const check = async (): Promise<Progress> => {
    throw new KubeError('GET /x', 403, { message: 'forbidden' })
  }
  await assert.rejects(wait(check, { print: () => {}, stallTimeoutMs: 9_000, intervals }), /forbidden/)
})
