import assert from 'node:assert/strict'
import { test } from 'node:test'
import { KubeError } from '../../kube/kube-error.ts'
import { type Look, waitUntilDone } from './waiting.ts'

const pace = { lookMs: 1, whyMs: 20, repeatMs: 120 }
const never: Look = { line: '1 of 2', isDone: false, why: async () => ['pod two: FailedMount'] }

function printed(): { readonly lines: string[]; readonly print: (line: string) => void } {
  const lines: string[] = []
  return { lines, print: (line) => void lines.push(line) }
}

test('each change is one line, and what is done at once gives no reasons', async () => {
  const { lines, print } = printed()
  const lookAt = ['0 of 2', '0 of 2', '1 of 2', '2 of 2']
  const look = async (): Promise<Look> => {
    const line = lookAt.shift() ?? assert.fail('looked after it was done')
    return { ...never, line, isDone: line === '2 of 2' }
  }
  const patient = { ...pace, whyMs: 60_000 }
  assert.equal(await waitUntilDone(look, { print, stuckAfterMs: 10_000, pace: patient }), true)
  assert.deepEqual(lines, ['0 of 2', '1 of 2', '2 of 2'])
})

test('what does not get further says why, says it again now and then, and gives up', async () => {
  const { lines, print } = printed()
  assert.equal(await waitUntilDone(async () => never, { print, stuckAfterMs: 300, pace }), false)
  assert.deepEqual(lines.slice(0, 2), ['1 of 2', '  pod two: FailedMount'])
  assert.match(lines[2] ?? '', /^1 of 2 \(since \d+ s\)$/)
  assert.equal(lines[3], '  pod two: FailedMount')
})

test('a wait that ends in a hurry says why at least once', async () => {
  const { lines, print } = printed()
  assert.equal(
    await waitUntilDone(async () => never, { print, stuckAfterMs: 9_000, limitMs: 5, pace }),
    false,
  )
  assert.equal(lines.at(-1), '  pod two: FailedMount')
})

test('an API server that is away for a moment is said, and waited for', async () => {
  const { lines, print } = printed()
  let times = 0
  const look = async (): Promise<Look> => {
    if (times++ < 3) throw new Error('connect ECONNREFUSED')
    return { ...never, line: '2 of 2', isDone: true }
  }
  assert.equal(await waitUntilDone(look, { print, stuckAfterMs: 9_000, pace }), true)
  assert.deepEqual(lines, ['the API server does not answer: connect ECONNREFUSED', '2 of 2'])
})

test('an API server that refuses ends the wait', async () => {
  const look = async (): Promise<Look> => {
    throw new KubeError('GET /x', 403, { message: 'forbidden' })
  }
  await assert.rejects(waitUntilDone(look, { print: () => {}, stuckAfterMs: 9_000, pace }), /forbidden/)
})
