import type { ServerResponse } from 'node:http'
import type { ApiObject } from './api-object.ts'
import { apiVersionOf, type ResourceKind, resourceKey } from './resources.ts'
import type { Predicate } from './selectors.ts'
import { StatusError, statusBody } from './status-error.ts'
import type { Change, Store } from './store.ts'

export interface WatchRequest {
  readonly kind: ResourceKind
  readonly matches: Predicate
  /** Undefined or '0': begin with what is there. */
  readonly resourceVersion: string | undefined
  readonly hasBookmarks: boolean
  readonly timeoutMs: number
  /** How an object looks to this client: itself, or a Table. */
  readonly render: (object: ApiObject) => object
}

const bookmarkEveryMs = 60_000

/** Streams changes until the time is over or the client goes. Headers go out at once: clients wait for them. */
export function serveWatch(store: Store, request: WatchRequest, response: ServerResponse): void {
  const { kind, resourceVersion, hasBookmarks, timeoutMs, render } = request
  const send = (type: string, object: object): void => {
    response.write(`${JSON.stringify({ type, object })}\n`)
  }
  response.writeHead(200, { 'content-type': 'application/json', 'transfer-encoding': 'chunked' })
  response.flushHeaders()
  const from =
    resourceVersion === undefined || resourceVersion === '' || resourceVersion === '0'
      ? undefined
      : Number(resourceVersion)
  if (from !== undefined && (from + 1 < store.oldestVersion || from > store.version)) {
    const expired = new StatusError(
      410,
      'Expired',
      `too old resource version: ${from} (${store.oldestVersion})`,
    )
    send('ERROR', statusBody(expired))
    response.end()
    return
  }
  if (from === undefined) {
    for (const object of store.list(resourceKey(kind)))
      if (request.matches(object)) send('ADDED', render(object))
  } else for (const change of store.changesSince(from)) deliver(change, request, send)
  const stop = store.listen((change) => deliver(change, request, send))
  const bookmark = (): void =>
    send('BOOKMARK', {
      kind: kind.kind,
      apiVersion: apiVersionOf(kind),
      metadata: { resourceVersion: String(store.version), creationTimestamp: null },
    })
  const bookmarks = hasBookmarks ? setInterval(bookmark, bookmarkEveryMs) : undefined
  const timeout = setTimeout(() => response.end(), timeoutMs)
  response.once('close', () => {
    stop()
    clearInterval(bookmarks)
    clearTimeout(timeout)
  })
}

/** An object that begins or ceases to match is, to this client, one that appears or goes. */
function deliver(
  change: Change,
  { kind, matches, render }: WatchRequest,
  send: (type: string, object: object) => void,
): void {
  if (change.resource !== resourceKey(kind)) return
  const [matched, isMatching] = [
    change.previous !== undefined && matches(change.previous),
    matches(change.object),
  ]
  if (change.type === 'DELETED') {
    if (matched) send('DELETED', render(change.object))
  } else if (isMatching) send(matched ? 'MODIFIED' : 'ADDED', render(change.object))
  else if (matched) send('DELETED', render(change.object))
}
