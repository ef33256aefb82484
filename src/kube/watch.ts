import type { Clock } from '../runtime/clock.ts'
import type { Random } from '../runtime/random.ts'
import type { KubeObject } from './client.ts'
import { KubeError } from './kube-error.ts'
import type { ListOptions, Resource } from './resource.ts'

type WatchEvent<T> =
  | { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'; readonly object: T }
  | { readonly type: 'BOOKMARK'; readonly resourceVersion: string }

/** The server ends a watch after about this long. A fifth of it is random, so that nodes do not reconnect together. */
const watchSeconds = 300

/**
 * How long a watch may be silent. Bookmarks arrive about once a minute. If two are missing, a proxy may have stopped
 * forwarding the watch, although the proxy itself still answers keep-alive probes.
 */
const silenceMs = 150_000

const maxLineBytes = 16 << 20

/**
 * One watch request: yields events after `resourceVersion` until the server ends the watch, the signal comes, or the watch
 * is silent for too long. Throws a KubeError with code 410 if the version is too old.
 */
export async function* watchOnce<T extends KubeObject>(
  resource: Resource<T>,
  options: ListOptions,
  resourceVersion: string,
  { clock, random }: { readonly clock: Clock; readonly random: Random },
  signal: AbortSignal,
): AsyncGenerator<WatchEvent<T>> {
  const path = resource.path(options.namespace)
  const silence = new AbortController()
  const response = await resource.client.open({
    method: 'GET',
    path,
    query: {
      labelSelector: options.labelSelector,
      fieldSelector: options.fieldSelector,
      watch: 'true',
      allowWatchBookmarks: 'true',
      timeoutSeconds: String(Math.round(watchSeconds * (1 + random() / 5))),
      resourceVersion,
    },
    signal: AbortSignal.any([signal, silence.signal]),
  })
  let lastHeardMs = clock.monotonicMs()
  const stopGuard = clock.every(5_000, () => {
    if (clock.monotonicMs() - lastHeardMs > silenceMs)
      silence.abort(new Error(`watch ${path}: the API server sent nothing for ${silenceMs / 1000} s`))
  })
  try {
    for await (const line of linesOf(response.body, path)) {
      lastHeardMs = clock.monotonicMs()
      yield decodeEvent<T>(line, path)
    }
  } finally {
    stopGuard()
    response.body.destroy()
  }
}

/** The last line may be cut off with the connection. It is then ignored. */
async function* linesOf(body: AsyncIterable<Buffer>, path: string): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const chunk of body) {
    rest += decoder.decode(chunk, { stream: true })
    for (let end = rest.indexOf('\n'); end >= 0; end = rest.indexOf('\n')) {
      const line = rest.slice(0, end)
      rest = rest.slice(end + 1)
      if (line.trim() !== '') yield line
    }
    if (rest.length > maxLineBytes)
      throw new Error(`watch ${path}: an event is larger than ${maxLineBytes} bytes`)
  }
}

function decodeEvent<T extends KubeObject>(line: string, path: string): WatchEvent<T> {
  let event: { type?: string; object?: T & { code?: number } }
  try {
    event = JSON.parse(line)
  } catch (cause) {
    throw new Error(`watch ${path}: a line is not valid JSON`, { cause })
  }
  const { type, object } = event
  if (type === 'ERROR') throw new KubeError(`watch ${path}`, Number(object?.code ?? 500), object)
  if (object?.metadata === undefined) throw new Error(`watch ${path}: an event has no object`)
  if (type === 'BOOKMARK') return { type, resourceVersion: object.metadata.resourceVersion ?? '' }
  if (type !== 'ADDED' && type !== 'MODIFIED' && type !== 'DELETED')
    throw new Error(`watch ${path}: an event has the unknown type ${type}`)
  return { type, object }
}
