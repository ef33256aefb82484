import { setTimeout } from 'node:timers/promises'
import { differencesOf, type Fields } from './differences.ts'
import { Bindings } from './placeholders.ts'
import type { Entry, RecordedAnswer, RecordedRequest } from './recording.ts'
import type { Target } from './target.ts'

export interface Played {
  readonly entry: Entry
  readonly request: RecordedRequest
  readonly answer: RecordedAnswer
  /** Empty: as it was recorded. */
  readonly differences: readonly string[]
}

const pollEveryMs = 50

/**
 * Sends every request of a recording, in its order, with our own values for its placeholders. `patienceMs`: how long a request
 * that says until when it was repeated is repeated here.
 */
export async function* play(
  target: Target,
  entries: readonly Entry[],
  patienceMs: number | ((entry: Entry) => number),
  view: (answer: RecordedAnswer) => RecordedAnswer = (answer) => answer,
): AsyncGenerator<Played> {
  const bindings = new Bindings()
  for (const entry of entries) {
    const { request, response, user = 'admin' } = entry
    if (request === undefined || response === undefined) {
      await doUnrecorded(target, entry.name)
      continue
    }
    const filled = await fillRequest(target, request, bindings)
    const end =
      Date.now() +
      (entry.until === undefined ? 0 : typeof patienceMs === 'number' ? patienceMs : patienceMs(entry))
    for (;;) {
      const meanwhile = doMeanwhile(target, entry.name, filled)
      const answer = await target.ask(user, filled, eventsOf(request, response))
      await meanwhile
      const differences = differencesOf(view(response), view(answer), bindings)
      if (differences.length > 0 && Date.now() < end) {
        await setTimeout(pollEveryMs)
        continue
      }
      yield { entry, request: filled, answer, differences }
      if (entry.then === undefined && answer.status === 201 && request.path.startsWith(definitionsPath))
        await setTimeout(pollEveryMs * 2)
      if (entry.then !== undefined) await takeAway(target, entry, filled, answer)
      else if (request.method === 'POST' && response.status >= 400 && answer.status === 201)
        await takeAway(target, entry, filled, answer)
      break
    }
  }
}

async function fillRequest(
  target: Target,
  request: RecordedRequest,
  bindings: Bindings,
): Promise<RecordedRequest> {
  if (JSON.stringify(request.body)?.includes('"<token>"'))
    bindings.bind('token', await target.tokenOf('agent'))
  return bindings.fill(request)
}

/** Of a watch: how many events there are to come. */
function eventsOf({ query }: RecordedRequest, { body }: RecordedAnswer): number | undefined {
  if (query?.watch === undefined) return undefined
  return Array.isArray(body) ? body.length : 0
}

/** What was done after a request without an entry of its own: what it made is deleted. */
async function takeAway(
  target: Target,
  { then = '' }: Entry,
  request: RecordedRequest,
  { status, body }: RecordedAnswer,
): Promise<void> {
  if (status >= 300) return
  const { metadata } = body as { metadata?: { name?: string } }
  const path = request.method === 'POST' ? `${request.path}/${metadata?.name}` : request.path
  const { finalizers = [] } = (body as { metadata?: { finalizers?: unknown[] } }).metadata ?? {}
  if (then.includes('finalizers') || finalizers.length > 0)
    await target.ask('admin', {
      method: 'PATCH',
      path,
      headers: { 'content-type': 'application/merge-patch+json', accept: 'application/json' },
      body: { metadata: { finalizers: null } },
    })
  await deleteAndWait(target, path)
}

export async function deleteAndWait(target: Target, path: string): Promise<void> {
  await target.admin('DELETE', path)
  for (const end = Date.now() + 10_000; Date.now() < end; await setTimeout(pollEveryMs))
    if ((await target.admin('GET', path)).status === 404) return
  throw new Error(`${path} is still there`)
}

const definitionsPath = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'

/** Remarks that say what was done between two entries. */
async function doUnrecorded(target: Target, remark: string): Promise<void> {
  if (remark !== '(things and gadgets were deleted)') return
  for (const name of ['things', 'gadgets'])
    await deleteAndWait(target, `${definitionsPath}/${name}.example.com`)
}

/** What a watch was to see, done while it runs: its name says it. */
async function doMeanwhile(target: Target, name: string, { path }: RecordedRequest): Promise<void> {
  if (!name.includes('(meanwhile ConfigMap w ')) return
  const at = `${path}/w`
  const merge = (body: Fields) =>
    target.ask('admin', {
      method: 'PATCH',
      path: at,
      headers: { 'content-type': 'application/merge-patch+json', accept: 'application/json' },
      body,
    })
  await setTimeout(pollEveryMs * 4)
  await target.admin('POST', path, {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'w', labels: { w: 'yes' } },
    data: { a: '1' },
  })
  await merge({ data: { a: '2' } })
  await merge({ metadata: { labels: { w: 'no' } } })
  await merge({ metadata: { labels: { w: 'yes' } } })
  await target.admin('DELETE', at)
}
