import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { EventText } from '../decide/status/events.ts'
import type { KubeObject } from '../kube/client.ts'
import { KubeError } from '../kube/kube-error.ts'
import { systemClock } from '../runtime/clock.ts'
import { createLog } from '../runtime/log.ts'
import { EventRecorder, type Subject } from './events.ts'

const subject: Subject = {
  apiVersion: 'isovalent.com/v1',
  kind: 'IsovalentEgressGatewayPolicy',
  name: 'p',
  uid: 'u',
}
const event = (message: string): EventText => ({ type: 'Normal', reason: 'Ready', message })

type Written = KubeObject & Readonly<Record<string, unknown>>

/** An API server that keeps events, and forgets or refuses them when told to. */
class Events {
  readonly kept = new Map<string, Written>()
  isAway = false

  async create(object: KubeObject): Promise<KubeObject> {
    if (this.isAway) throw new Error('connection refused')
    this.kept.set(object.metadata.name, object as Written)
    return object
  }

  async patch(name: string, _type: string, body: unknown): Promise<KubeObject> {
    const before = this.kept.get(name)
    if (before === undefined) throw new KubeError('patch', 404, {})
    this.kept.set(name, { ...before, ...(body as object) })
    return before
  }
}

function recorder(events: Events) {
  let nowMs = Date.UTC(2026, 0, 1)
  const clock = {
    ...systemClock,
    now: () => nowMs,
    monotonicMs: () => nowMs,
  }
  return {
    recorder: new EventRecorder(events, { clock, log: createLog('test', 'silent'), instance: 'operator-1' }),
    pass: (ms: number) => {
      nowMs += ms
    },
  }
}

test('an Event names its object as kubectl describe expects it, in the namespace that API servers accept', async () => {
  const events = new Events()
  const { recorder: told } = recorder(events)
  told.record(subject, event('gateways found'))
  await told.flush()
  const [written] = events.kept.values()
  assert.deepEqual(written?.involvedObject, subject)
  assert.equal(written?.metadata.namespace, 'default')
  assert.match(written?.metadata.name ?? '', /^p\.[0-9a-f]+$/)
  assert.deepEqual([written?.count, written?.lastTimestamp], [1, '2026-01-01T00:00:00Z'])
})

test('a repeated Event is counted, and a different one is written', async () => {
  const events = new Events()
  const { recorder: told, pass } = recorder(events)
  for (const message of ['a', 'b', 'a']) {
    told.record(subject, event(message))
    await told.flush()
    pass(1000)
  }
  assert.deepEqual(
    [...events.kept.values()].map(({ message, count, lastTimestamp }) => [message, count, lastTimestamp]),
    [
      ['a', 2, '2026-01-01T00:00:02Z'],
      ['b', 1, '2026-01-01T00:00:01Z'],
    ],
  )
})

test('an Event that the API server has deleted is written again', async () => {
  const events = new Events()
  const { recorder: told } = recorder(events)
  told.record(subject, event('a'))
  await told.flush()
  events.kept.clear()
  told.record(subject, event('a'))
  await told.flush()
  assert.deepEqual(
    [...events.kept.values()].map(({ count }) => count),
    [1],
  )
})

test('one object has 25 Events at once, then one in five minutes, and does not delay another object', async () => {
  const events = new Events()
  const { recorder: told, pass } = recorder(events)
  for (let index = 0; index < 40; index++) told.record(subject, event(`${index}`))
  await told.flush()
  assert.equal(events.kept.size, 25)
  told.record({ ...subject, name: 'q' }, event('other'))
  pass(300_000)
  for (const message of ['later', 'too many']) told.record(subject, event(message))
  await told.flush()
  assert.deepEqual(
    [...events.kept.values()].slice(25).map(({ message }) => message),
    ['other', 'later'],
  )
})

test('an Event that cannot be written is lost, and the next one is written', async () => {
  const events = new Events()
  const { recorder: told } = recorder(events)
  events.isAway = true
  told.record(subject, event('lost'))
  await told.flush()
  events.isAway = false
  told.record(subject, event('kept'))
  await told.flush()
  assert.deepEqual(
    [...events.kept.values()].map(({ message }) => message),
    ['kept'],
  )
})
