import assert from 'node:assert/strict'
import { beforeEach, describe, test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { systemClock } from '../../runtime/clock.ts'
import { createLog } from '../../runtime/log.ts'
import { Comeback } from './hand-back.ts'

describe('a node that was away', () => {
  let told: string[]
  let lapse: number
  let hasTables: boolean
  let fails: boolean
  let heard: PromiseWithResolvers<void>
  let slept: PromiseWithResolvers<void>
  let comeback: Comeback
  beforeEach(() => {
    told = []
    lapse = 0
    hasTables = true
    fails = false
    heard = Promise.withResolvers()
    slept = Promise.withResolvers()
    comeback = new Comeback({
      lapse: () => lapse,
      hearAnew: () => heard.promise,
      settle: async () => {
        told.push('tables')
        if (fails) throw new Error('the tables could not be written')
      },
      hasTables: () => hasTables,
      onBegin: () => told.push('quiet'),
      speak: (of) => told.push(`speaks after lapse ${of}`),
      clock: { ...systemClock, sleep: () => slept.promise },
      log: createLog('test', 'silent'),
    })
    void comeback.begin()
  })
  const when = async (event: PromiseWithResolvers<void>): Promise<readonly string[]> => {
    event.resolve()
    await setImmediate()
    return told
  }

  test('is quiet until it has heard everything, and speaks when its tables hold that', async () => {
    assert.deepEqual(told, ['quiet'])
    assert.ok(comeback.isUnderWay)
    assert.deepEqual(await when(heard), ['quiet', 'tables', 'speaks after lapse 0'])
    assert.ok(!comeback.isUnderWay)
  })

  test('speaks with the tables that it has where nobody answers, and again when somebody has', async () => {
    assert.deepEqual(await when(slept), ['quiet', 'tables', 'speaks after lapse 0'])
    assert.deepEqual((await when(heard)).slice(3), ['tables', 'speaks after lapse 0'])
  })

  test('stays quiet where nobody answers and there are no tables', async () => {
    hasTables = false
    assert.deepEqual(await when(slept), ['quiet'])
    assert.deepEqual((await when(heard)).slice(1), ['tables', 'speaks after lapse 0'])
  })

  test('does not speak by tables that could not be written', async () => {
    fails = true
    assert.deepEqual(await when(heard), ['quiet', 'tables'])
    fails = false
    assert.deepEqual((await when(slept)).slice(2), ['tables', 'speaks after lapse 0'])
  })

  test('and is away again meanwhile begins anew', async () => {
    const first = heard
    heard = Promise.withResolvers()
    lapse = 1
    void comeback.begin()
    assert.deepEqual(await when(first), ['quiet', 'quiet', 'tables'])
    assert.deepEqual((await when(heard)).slice(3), ['tables', 'speaks after lapse 1'])
  })

  test('hears everything once, however many signs there are that it is back', async () => {
    void comeback.begin()
    assert.deepEqual(await when(heard), ['quiet', 'tables', 'speaks after lapse 0'])
  })
})
