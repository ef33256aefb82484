import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ApiObject, Predicate } from '../../objects/api-object.ts'
import { apiVersionOf, type ResourceKind, resourceKey } from '../../objects/resources.ts'
import { parseFieldSelector } from '../../objects/selectors/field-selector.ts'
import { parseLabelSelector } from '../../objects/selectors/label-selector.ts'
import { keyOf, type Store } from '../../objects/store.ts'
import { renderTable } from '../../print/table.ts'
import { encodeItem, encodeObject, send, sendText } from '../encoding.ts'
import type { Target } from '../request.ts'
import { badRequest, StatusError } from '../status-error.ts'
import { type ListOptions, parseListOptions, tooLarge } from './list-options.ts'

/** How a client wants objects to look: as a table, or their metadata alone. */
export interface Renderer {
  list(objects: readonly ApiObject[], metadata: object): object
  one(object: ApiObject): object
}

/** Undefined if the client accepts objects as they are. */
export function rendererOf(request: IncomingMessage, url: URL, { kind }: Target): Renderer | undefined {
  const accept = request.headers.accept ?? ''
  if (accept.includes('as=Table')) {
    const include = url.searchParams.get('includeObject') ?? 'Metadata'
    const table = (objects: readonly ApiObject[], metadata: object): object =>
      renderTable(kind, objects, metadata, include, Date.now())
    let hasColumns = false
    return {
      list: table,
      /* A watch sends its columns once. */
      one: (object) => {
        const row = table([object], { resourceVersion: object.metadata.resourceVersion })
        const event = hasColumns ? { ...row, columnDefinitions: null } : row
        hasColumns = true
        return event
      },
    }
  }
  if (!accept.includes('as=PartialObjectMetadata')) return undefined
  return {
    list: (objects, metadata) => ({
      ...partial,
      kind: 'PartialObjectMetadataList',
      metadata,
      items: objects.length === 0 ? null : objects.map(partialOf),
    }),
    one: partialOf,
  }
}

const partial = { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1' }
const partialOf = ({ metadata }: ApiObject): object => ({ ...partial, metadata })

export function predicateOf(url: URL, { kind, namespace }: Target): Predicate {
  const labels = parseLabelSelector(url.searchParams.get('labelSelector') ?? '')
  const fields = parseFieldSelector(
    url.searchParams.get('fieldSelector') ?? '',
    kind.kind,
    kind.custom !== undefined,
  )
  return (object) =>
    (namespace === undefined || object.metadata.namespace === namespace) && labels(object) && fields(object)
}

/** Where a page ends: the next page starts after this key, with the objects as of this version. */
interface Continuation {
  readonly version: number
  readonly after: string
}

function encodeContinuation(continuation: Continuation): string {
  return Buffer.from(JSON.stringify(continuation)).toString('base64url')
}

function parseContinuation(text: string): Continuation {
  try {
    const { version, after } = JSON.parse(Buffer.from(text, 'base64url').toString()) as Continuation
    if (Number.isSafeInteger(version) && typeof after === 'string') return { version, after }
  } catch {
    // Said below: no token of ours looks like this.
  }
  throw badRequest('invalid continue token: continue key is not valid')
}

export function sendList(
  store: Store,
  response: ServerResponse,
  parameters: URLSearchParams,
  { kind }: Target,
  matches: Predicate,
  render: Renderer | undefined,
): void {
  const options = parseListOptions(parameters)
  const { version, after } = beginOf(options, store)
  const objects = store.listAt(resourceKey(kind), version)
  if (objects === undefined) throw tooOld(options)
  const all = objects.filter((object) => keyOf(object) > after && matches(object))
  /* A list of any version comes from a cache, which has no pages. */
  const isPaged = options.limit > 0 && options.resourceVersion !== 0
  const page = isPaged ? all.slice(0, options.limit) : all
  const last = page.at(-1)
  const isSelected = parameters.has('labelSelector') || parameters.has('fieldSelector')
  const metadata = {
    resourceVersion: String(version),
    ...(page.length < all.length && last !== undefined
      ? {
          continue: encodeContinuation({ version, after: keyOf(last) }),
          ...(isSelected ? {} : { remainingItemCount: all.length - page.length }),
        }
      : {}),
  }
  if (render !== undefined) {
    send(response, 200, render.list(page, metadata))
    return
  }
  sendItems(response, kind, metadata, page)
}

function beginOf({ continuation, resourceVersion, isExact }: ListOptions, store: Store): Continuation {
  if (continuation !== '') return parseContinuation(continuation)
  if (resourceVersion !== undefined && resourceVersion > store.version)
    throw tooLarge(resourceVersion, store.version)
  return { version: isExact && resourceVersion !== undefined ? resourceVersion : store.version, after: '' }
}

function tooOld({ continuation }: ListOptions): StatusError {
  return new StatusError(
    410,
    'Expired',
    continuation === ''
      ? 'The resourceVersion for the provided list is too old.'
      : 'The provided continue parameter is too old to display a consistent list result.',
  )
}

/** A list of objects as they are. */
export function sendObjects(
  response: ServerResponse,
  store: Store,
  kind: ResourceKind,
  objects: readonly ApiObject[],
): void {
  sendItems(response, kind, { resourceVersion: String(store.version) }, objects)
}

/** Lists of custom objects say that there are no more objects. Lists of built-in ones leave that out. */
function sendItems(
  response: ServerResponse,
  kind: ResourceKind,
  metadata: object,
  objects: readonly ApiObject[],
): void {
  const more = kind.custom === undefined ? {} : { continue: '' }
  const head = JSON.stringify({
    kind: `${kind.kind}List`,
    apiVersion: apiVersionOf(kind),
    metadata: { ...more, ...metadata },
  })
  sendText(
    response,
    200,
    `${head.slice(0, -1)},"items":[${objects.map(kind.custom === undefined ? encodeItem : encodeObject).join(',')}]}`,
  )
}
