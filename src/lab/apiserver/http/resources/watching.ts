import type { ServerResponse } from 'node:http'
import type { ApiObject, Predicate } from '../../objects/api-object.ts'
import { apiVersionOf, type ResourceKind, resourceKey } from '../../objects/resources.ts'
import type { Change, Store } from '../../objects/store.ts'
import { encodeObject } from '../encoding.ts'
import { StatusError, statusBody } from '../status-error.ts'
import { checkWatchOptions, parseVersion } from './list-options.ts'
import type { Renderer } from './listing.ts'

interface WatchRequest {
  readonly kind: ResourceKind
  readonly matches: Predicate
  /** Undefined: objects as they are. */
  readonly render: Renderer | undefined
  readonly url: URL
  readonly bookmarkEveryMs: number
}

const usualSeconds = 1800
/** setTimeout counts in 31 bits of milliseconds. */
const mostSeconds = 2_000_000
/** A client that does not read is disconnected before its backlog fills the memory. It relists. */
const mostBacklogBytes = 64 << 20

/** Streams changes until the time is over or the client goes. Headers go out at once: clients wait for them. */
export function serveWatch(store: Store, request: WatchRequest, response: ServerResponse): void {
  const { kind, url, matches } = request
  const from = beginOf(url, store)
  const seconds = Number(url.searchParams.get('timeoutSeconds') ?? usualSeconds) || usualSeconds
  const send = (type: string, text: string): void => {
    response.write(`{"type":"${type}","object":${text}}\n`)
    if (response.writableLength > mostBacklogBytes) response.destroy()
  }
  response.writeHead(200, { 'content-type': 'application/json', 'transfer-encoding': 'chunked' })
  response.flushHeaders()
  if (from !== undefined && from + 1 < store.oldestVersion) {
    const text = `too old resource version: ${from} (${store.oldestVersion})`
    send('ERROR', JSON.stringify(statusBody(new StatusError(410, 'Expired', text))))
    response.end()
    return
  }
  const bookmark = (annotations?: object): void => {
    const metadata = { resourceVersion: String(store.version), annotations }
    send('BOOKMARK', JSON.stringify({ kind: kind.kind, apiVersion: apiVersionOf(kind), metadata }))
  }
  const hasBookmarks = url.searchParams.get('allowWatchBookmarks') === 'true'
  if (from === undefined) {
    for (const object of store.list(resourceKey(kind)))
      if (matches(object)) send('ADDED', look(object, request))
    if (hasBookmarks && url.searchParams.get('sendInitialEvents') === 'true')
      bookmark({ 'k8s.io/initial-events-end': 'true' })
  } else for (const change of store.changesSince(from)) deliver(change, request, send)
  const stop = store.listen((change) => {
    if (change.version > (from ?? 0)) deliver(change, request, send)
  })
  const bookmarks = hasBookmarks ? setInterval(bookmark, request.bookmarkEveryMs) : undefined
  const timeout = setTimeout(() => {
    if (hasBookmarks) bookmark()
    response.end()
  }, Math.min(seconds, mostSeconds) * 1000)
  response.once('close', () => {
    stop()
    clearInterval(bookmarks)
    clearTimeout(timeout)
  })
}

/** The version after which a watch starts. Undefined if it starts with the present objects. */
function beginOf({ searchParams }: URL, store: Store): number | undefined {
  checkWatchOptions(searchParams)
  const version = parseVersion(searchParams.get('resourceVersion')) || undefined
  const initial = searchParams.get('sendInitialEvents')
  if (initial === null) return version
  return initial === 'true' ? undefined : (version ?? store.version)
}

function look(object: ApiObject, { render }: WatchRequest): string {
  if (render === undefined) return encodeObject(object)
  return JSON.stringify(render.one(object))
}

/**
 * If an object starts to match, this client sees an addition. If it no longer matches, this client sees a deletion of its
 * last matching state, with the version of the change.
 */
function deliver(change: Change, request: WatchRequest, send: (type: string, text: string) => void): void {
  if (change.resource !== resourceKey(request.kind)) return
  const { previous, object, type } = change
  const matched = previous !== undefined && request.matches(previous)
  const isMatching = type !== 'DELETED' && request.matches(object)
  if (isMatching) send(matched ? 'MODIFIED' : 'ADDED', look(object, request))
  else if (matched) send('DELETED', look(lastSeen(previous, object), request))
}

function lastSeen(previous: ApiObject, { metadata: { resourceVersion } }: ApiObject): ApiObject {
  return {
    ...previous,
    metadata: { ...previous.metadata, ...(resourceVersion === undefined ? {} : { resourceVersion }) },
  }
}
