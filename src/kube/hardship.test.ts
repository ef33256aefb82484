import assert from 'node:assert/strict'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, test } from 'node:test'
import { setImmediate, setTimeout } from 'node:timers/promises'
import { type Clock, systemClock } from '../runtime/clock.ts'
import { createLog } from '../runtime/log.ts'
import { KubeClient, type KubeObject } from './client.ts'
import { coreResource } from './cluster-objects.ts'
import { Mirror } from './mirror.ts'

/* An API server on its worst days, by a script: what it answers to each request in turn. */

type Answer = (request: IncomingMessage, response: ServerResponse, clock: ImpatientClock) => void

const pod = (name: string, resourceVersion = '10', uid = `uid-of-${name}`): KubeObject =>
  ({ metadata: { name, namespace: 'default', uid, resourceVersion } }) as KubeObject

const send =
  (code: number, body: object, headers: Readonly<Record<string, string>> = {}): Answer =>
  (_, response) =>
    void response
      .writeHead(code, { 'content-type': 'application/json', ...headers })
      .end(JSON.stringify(body))
const list = (pods: readonly KubeObject[], more?: string): Answer =>
  send(200, { metadata: { resourceVersion: '10', ...(more && { continue: more }) }, items: pods })
const gone = send(410, { kind: 'Status', code: 410, reason: 'Expired', message: 'too old' })
/** The events, and then silence on a connection that stays open. */
const watch =
  (...events: readonly (readonly [type: string, object: object])[]): Answer =>
  (_, response) => {
    response.writeHead(200)
    for (const [type, object] of events) response.write(`${JSON.stringify({ type, object })}\n`)
    response.flushHeaders()
  }
const tooOld = watch(['ERROR', { metadata: {}, code: 410, reason: 'Expired', message: 'too old' }])

const hour = 3_600_000

/** Time passes when somebody sleeps, and only then. */
class ImpatientClock implements Clock {
  nowMs = 1_700_000_000_000
  readonly slept: number[] = []
  now = (): number => this.nowMs
  monotonicNs = (): bigint => BigInt(this.nowMs) * 1_000_000n
  monotonicMs = (): number => this.nowMs
  after = systemClock.after
  every = systemClock.every
  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    this.slept.push(ms)
    this.nowMs += ms
    await setImmediate()
    if (signal?.aborted) return
  }
}

async function live(
  answers: readonly Answer[],
  until: (seen: Seen) => boolean,
  look: (seen: Seen) => void | Promise<void>,
  token: () => string = () => 'token',
  onChange: (mirror: Mirror<KubeObject, string>, changes: number) => void = () => {},
): Promise<void> {
  const requests: IncomingMessage[] = []
  const server = createServer((request, response) => {
    const answer = answers[requests.length] ?? ((): void => {})
    requests.push(request)
    answer(request, response, clock)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const clock = new ImpatientClock()
  await using client = new KubeClient({ server: url, token }, { userAgent: 'test', timeoutMs: 1_000 })
  let changes = 0
  const mirror = new Mirror<KubeObject, string>(client.resource(coreResource('pods', true)), {
    clock,
    log: createLog('test', 'silent'),
    trim: ({ metadata: { uid } }) => uid ?? '',
    mayLag: true,
    onChange: () => onChange(mirror, ++changes),
  })
  const ended = new AbortController()
  const started = mirror.start(ended.signal)
  const seen: Seen = {
    mirror,
    clock,
    requests,
    get changes() {
      return changes
    },
  }
  try {
    for (const end = Date.now() + 20_000; !until(seen); await setTimeout(5))
      assert.ok(Date.now() < end, `not within 20 s; ${requests.length} requests came`)
    await look(seen)
  } finally {
    ended.abort()
    server.close()
    server.closeAllConnections()
    await started
  }
}

interface Seen {
  readonly mirror: Mirror<KubeObject, string>
  readonly clock: ImpatientClock
  readonly requests: readonly IncomingMessage[]
  readonly changes: number
}

const names = ({ mirror }: Seen): string[] =>
  [...mirror.items.keys()].map((key) => key.replace('default/', ''))

function withinHour(slept: readonly number[]): readonly number[] {
  let [count, passed] = [0, 0]
  for (const ms of slept) {
    passed += ms
    if (passed > hour) break
    count++
  }
  return slept.slice(0, count)
}

describe('a mirror of an API server on its worst days', { timeout: 600_000 }, () => {
  test('starts the list again when a page is too old by the time it is asked for', () =>
    live(
      [list([pod('a')], 'page-2'), gone, list([pod('b')]), watch()],
      ({ requests }) => requests.length === 4,
      (seen) => {
        assert.deepEqual(names(seen), ['b'])
        assert.match(seen.requests[1]?.url ?? '', /continue=page-2/)
        assert.doesNotMatch(seen.requests[2]?.url ?? '', /continue/)
      },
    ))

  test('lists again when its version is too old, after a random delay because other nodes do so too', () =>
    live(
      [list([pod('a'), pod('b')]), tooOld, list([pod('b')]), tooOld, list([pod('b'), pod('c')]), watch()],
      ({ requests }) => requests.length === 6,
      (seen) => {
        assert.deepEqual(names(seen), ['b', 'c'])
        assert.equal(seen.clock.slept.length, 2)
        assert.ok(seen.clock.slept.every((ms) => ms >= 100))
        assert.equal(seen.mirror.isStale, false)
      },
    ))

  test('resumes from the last bookmark', () =>
    live(
      [
        list([pod('a')]),
        (request, response, clock) => {
          watch(['BOOKMARK', { metadata: { resourceVersion: '77' } }])(request, response, clock)
          response.end()
        },
        watch(),
      ],
      ({ requests }) => requests.length === 3,
      ({ requests }) => assert.match(requests[2]?.url ?? '', /resourceVersion=77/),
    ))

  test('takes a watch that has said nothing for minutes for dead, and another', () =>
    live(
      [list([pod('a')]), watch(), watch(['ADDED', pod('b')])],
      (seen) => {
        if (seen.requests.length === 2) seen.clock.nowMs += 60_000
        return names(seen).length === 2
      },
      (seen) => assert.deepEqual(names(seen), ['a', 'b']),
    ))

  test('sends the token that counts now', () => {
    let token = 'old'
    return live(
      [
        (request, response, clock) => {
          token = 'new'
          send(401, { kind: 'Status', code: 401, message: 'Unauthorized' })(request, response, clock)
        },
        list([pod('a')]),
        watch(),
      ],
      ({ requests }) => requests.length === 3,
      ({ requests }) =>
        assert.deepEqual(
          requests.map(({ headers }) => headers.authorization),
          ['Bearer old', 'Bearer new', 'Bearer new'],
        ),
      () => token,
    )
  })

  test('waits as long as a server that is overwhelmed asks for', () =>
    live(
      [send(429, { kind: 'Status', code: 429, message: 'later' }, { 'retry-after': '9' }), list([]), watch()],
      ({ requests }) => requests.length === 3,
      ({ clock }) => assert.deepEqual(clock.slept, [9_000]),
    ))

  test('waits as long as it asks for when it refuses a watch, too', () =>
    live(
      [
        list([]),
        send(429, { kind: 'Status', code: 429, message: 'later' }, { 'retry-after': '9' }),
        watch(['ADDED', pod('a')]),
      ],
      (seen) => names(seen).length === 1,
      ({ clock }) => assert.deepEqual(clock.slept, [9_000]),
    ))

  test('asks ever less often for a watch that ends as soon as it has begun', () => {
    const over: Answer = (_, response) => void response.writeHead(200).end()
    return live(
      [list([pod('a')]), ...Array.from({ length: 100_000 }, () => over)],
      ({ clock }) => clock.slept.reduce((sum, ms) => sum + ms, 0) > hour,
      (seen) => {
        const waits = withinHour(seen.clock.slept)
        assert.ok(waits.length < 300, `${waits.length} tries`)
        assert.equal(seen.mirror.isStale, false)
      },
    )
  })

  test('gives up an answer that does not come whole', () =>
    live(
      [(_, response) => void response.writeHead(200).write('{"metadata":'), list([pod('a')]), watch()],
      (seen) => seen.requests.length === 3,
      (seen) => assert.deepEqual(names(seen), ['a']),
    ))

  test('lists from the memory of the server, never older than what it has seen', () =>
    live(
      [
        list([pod('a')]),
        watch(['BOOKMARK', { metadata: { resourceVersion: '77' } }], ['ERROR', { metadata: {}, code: 410 }]),
        list([]),
        watch(),
      ],
      ({ requests }) => requests.length === 4,
      ({ requests }) => {
        assert.match(requests[0]?.url ?? '', /resourceVersion=0$/)
        assert.match(requests[2]?.url ?? '', /resourceVersion=77&resourceVersionMatch=NotOlderThan/)
      },
    ))

  test('lists again on request, whatever events came together with the one that caused the request', () =>
    live(
      [
        list([]),
        (_, response) => {
          const events = ['a', 'b'].map((name) => JSON.stringify({ type: 'ADDED', object: pod(name, '11') }))
          response.writeHead(200).write(`${events.join('\n')}\n`)
        },
        list([pod('c')]),
        watch(),
      ],
      (seen) => names(seen).join() === 'c',
      ({ requests }) => assert.doesNotMatch(requests[2]?.url ?? '', /watch=true/),
      undefined,
      (mirror, changes) => {
        if (changes === 2) void mirror.relist()
      },
    ))

  test('tries again all through an hour without one, ever less often, and keeps what it knows', () => {
    const down: Answer = (_, response) => void response.destroy()
    return live(
      [list([pod('a')]), ...Array.from({ length: 100_000 }, () => down)],
      ({ clock }) => clock.slept.reduce((sum, ms) => sum + ms, 0) > hour,
      (seen) => {
        const waits = withinHour(seen.clock.slept)
        assert.ok(waits.length > 100 && waits.length < 300, `${waits.length} tries`)
        assert.ok(Math.max(...waits) <= 30_000)
        assert.ok(new Set(waits.slice(-10)).size > 5, 'not in step with others')
        assert.deepEqual(names(seen), ['a'])
        assert.equal(seen.mirror.isStale, true)
      },
    )
  })

  test('asks again soon after a request that waited in vain, which was a pause already', () => {
    const silent: Answer = (_, response, clock) => {
      clock.nowMs += 30_000
      response.destroy()
    }
    return live(
      [list([pod('a')]), ...Array.from({ length: 1_000 }, () => silent)],
      ({ clock }) => clock.slept.length > 50,
      ({ clock }) => assert.ok(Math.max(...clock.slept) <= 5_000, clock.slept.join(' ')),
    )
  })

  test('is told twice of the same, and changes once; a pod of the same name is another pod', () =>
    live(
      [
        list([pod('a')]),
        watch(
          ['ADDED', pod('b', '11')],
          ['ADDED', pod('b', '11')],
          ['MODIFIED', pod('b', '12')],
          ['DELETED', pod('a', '13')],
          ['DELETED', pod('a', '13')],
          ['ADDED', pod('a', '14', 'another')],
        ),
      ],
      ({ mirror }) => mirror.items.get('default/a') === 'another',
      (seen) => {
        assert.deepEqual([...seen.mirror.items.values()].sort(), ['another', 'uid-of-b'])
        assert.ok(seen.changes <= 5, `${seen.changes} changes`)
      },
    ))

  test('is cut off in the middle of an event: it never came, and comes again', () =>
    live(
      [
        list([]),
        (_, response) => {
          response.writeHead(200)
          response.write('{"type":"ADDED","object":{"metadata":{"na')
          void setTimeout(20).then(() => response.destroy())
        },
        watch(['ADDED', pod('a', '11')]),
      ],
      (seen) => names(seen).length === 1,
      ({ requests }) => assert.match(requests[2]?.url ?? '', /resourceVersion=10/),
    ))
})
