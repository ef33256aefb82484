import { givens } from './given.ts'
import { Normaliser, sentValues } from './normal.ts'
import { play } from './play.ts'
import { type Entry, readRecording } from './recording.ts'
import type { Target } from './target.ts'

/** Controllers of a real cluster take their time. */
const patienceMs = 20_000

/** Sends a recording's requests to a cluster, and takes away afterwards what they made. */
export async function record(target: Target, file: string): Promise<readonly Entry[]> {
  const entries = readRecording(file)
  const normaliser = new Normaliser(sentValues(entries))
  const made: string[] = []
  const recorded = new Map<string, Entry>()
  try {
    made.push(...((await givens[file]?.(target)) ?? []))
    for await (const { entry, request, answer } of play(target, entries, patienceMs)) {
      if (answer.status === 201) made.push(pathOf(request.method, request.path, answer.body))
      // What the player takes away because it was refused before is taken away whenever this is played.
      const isNew = answer.status === 201 && entry.response !== undefined && entry.response.status >= 400
      const then = isNew && request.method === 'POST' ? Object.fromEntries([['then', 'deleted']]) : {}
      recorded.set(entry.name, normaliser.entry({ ...entry, ...then }, request, answer))
    }
  } finally {
    for (const path of made.toReversed()) if (path !== '') await takeAway(target, path)
  }
  return entries.map((entry) => recorded.get(entry.name) ?? entry)
}

/** Of what a request made: empty where it made nothing that stays. */
function pathOf(method: string, path: string, body: unknown): string {
  const { metadata } = body as { metadata?: { name?: string } }
  if (method !== 'POST') return path
  const isAction = /\/(token|binding|eviction|status)$|reviews$/.test(path)
  return isAction || metadata?.name === undefined ? '' : `${path}/${metadata.name}`
}

async function takeAway(target: Target, path: string): Promise<void> {
  await target.ask('admin', {
    method: 'PATCH',
    path,
    headers: { 'content-type': 'application/merge-patch+json', accept: 'application/json' },
    body: { metadata: { finalizers: null } },
  })
  await target.admin('DELETE', path)
}
