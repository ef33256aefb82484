import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Access, User } from '../access/access.ts'
import { actingAs } from '../access/impersonation.ts'
import { restrictDeletion } from '../access/node-restriction.ts'
import {
  localReviewIn,
  reviewAccess,
  reviewOther,
  reviewPaths,
  reviewRules,
  reviewSubject,
  reviewToken,
} from '../access/reviews.ts'
import type { ApiObject } from '../objects/api-object.ts'
import { Catalog } from '../objects/catalog.ts'
import { Lifecycle } from '../objects/lifecycle.ts'
import { applyPatch } from '../objects/patches.ts'
import { type ResourceKind, resourceKey } from '../objects/resources.ts'
import { scaleOf, withScale } from '../objects/scale.ts'
import { keyOf, type Store } from '../objects/store.ts'
import { create, patch, replace, type WriteRequest } from '../objects/write.ts'
import { DefinitionController } from '../schema/definition-controller.ts'
import { act } from './actions.ts'
import { attemptAt, attemptOf, isWatch, pathAttempt } from './attempt.ts'
import { aggregatedDiscovery, aggregatedType, legacyDiscovery } from './discovery.ts'
import { encodeObject, send, sendText } from './encoding.ts'
import { answerLog } from './kubelet-proxy.ts'
import { parseVersion, tooLarge } from './list-options.ts'
import { predicateOf, rendererOf, sendList, sendObjects } from './listing.ts'
import { openApiDocument, openApiIndex, openApiV2 } from './openapi.ts'
import {
  methodNotAllowed,
  parseDeleteOptions,
  parseTarget,
  parseUrl,
  readBody,
  type Target,
} from './request.ts'
import { RequestCounts } from './request-counts.ts'
import { notFound, StatusError, statusBody } from './status-error.ts'
import { serveWatch } from './watching.ts'
import { checkWriteOptions } from './write-options.ts'

const serverVersion = {
  major: '1',
  minor: '32',
  gitVersion: 'v1.32.0-sallyport',
  gitCommit: '',
  gitTreeState: 'clean',
  buildDate: '2026-01-01T00:00:00Z',
  goVersion: '',
  compiler: '',
  platform: 'linux/amd64',
}

const healthPaths = ['/healthz', '/livez', '/readyz']
/** Ours alone, for measurements. */
const requestCountsPath = '/debug/requests'
const success = { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success' }

/** What everybody may ask who is somebody. */
const ownReviews: ReadonlySet<string> = new Set([reviewPaths.subject, reviewPaths.access, reviewPaths.rules])

/** Who says nothing of themselves: roles may give them something. */
const anonymous: User = { name: 'system:anonymous', uid: '', groups: ['system:unauthenticated'] }

/** A Kubernetes API server in one process, as far as kubectl, the lab and our own processes need one. */
export class ApiServer {
  readonly store: Store
  readonly catalog: Catalog
  readonly access: Access
  readonly kubeletToken: string
  readonly #bookmarkEveryMs: number
  readonly #lifecycle: Lifecycle
  readonly #counts = new RequestCounts()

  constructor(store: Store, access: Access, kubeletToken: string, bookmarkEveryMs: number) {
    this.store = store
    this.access = access
    this.kubeletToken = kubeletToken
    this.#bookmarkEveryMs = bookmarkEveryMs
    new DefinitionController(store)
    this.catalog = new Catalog(store)
    this.#lifecycle = new Lifecycle(store, this.catalog)
    this.#lifecycle.resume()
  }

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      await this.#answer(request, response)
    } catch (error) {
      if (!(error instanceof StatusError)) console.error(error)
      if (response.headersSent) response.destroy()
      else {
        const refusal =
          error instanceof StatusError
            ? error
            : new StatusError(500, 'InternalError', `Internal error occurred: ${error}`)
        // What is left of a body that nobody reads would be taken for the next request.
        if (!request.complete) response.setHeader('connection', 'close')
        send(response, refusal.code, statusBody(refusal))
      }
    }
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = parseUrl(request.url)
    const method = request.method ?? 'GET'
    const path = url.pathname.replace(/\/+$/, '') || '/'
    if (path === '/version') return send(response, 200, serverVersion)
    if (healthPaths.includes(path)) return sendText(response, 200, 'ok', 'text/plain')
    const user = this.requireUser(request)
    this.#counts.note(user.name, request)
    const described = method === 'GET' ? this.#describe(path, request) : undefined
    if (described !== undefined) {
      this.access.authorize(user, pathAttempt(method, path))
      return send(response, 200, described.body, described.type)
    }
    if (method === 'GET' && path === openApiV2.path) {
      this.access.authorize(user, pathAttempt(method, path))
      return sendText(response, 200, openApiV2.empty, openApiV2.type)
    }
    if (method === 'GET' && path === requestCountsPath) {
      this.access.authorize(user, pathAttempt(method, path))
      return send(response, 200, this.#counts.byUser())
    }
    if (method === 'POST' && ownReviews.has(path)) this.access.authorize(user, attemptAt(method, path))
    if (method === 'POST' && path === reviewPaths.subject) return send(response, 201, reviewSubject(user))
    if (method === 'POST' && path === reviewPaths.access)
      return send(response, 201, reviewAccess(this.access, user, await readBody(request)))
    if (method === 'POST' && path === reviewPaths.rules)
      return send(response, 201, reviewRules(this.access, user, await readBody(request)))
    const reviewed = method === 'POST' ? await this.#reviewOther(path, user, request) : undefined
    if (reviewed !== undefined) return send(response, 201, reviewed)
    const parsed = this.#parseTarget(method, path, user)
    const target = parsed && { ...parsed, user }
    if (target === undefined) {
      this.access.authorize(user, attemptAt(method, path))
      return sendText(response, 404, '404 page not found\n', 'text/plain; charset=utf-8')
    }
    this.access.authorize(user, attemptOf(method, url, target))
    if (target.name === undefined) await this.#answerCollection(request, response, url, target)
    else await this.#answerObject(request, response, url, { ...target, name: target.name })
  }

  /** Whoever may not have what is not there is told the former. */
  #parseTarget(method: string, path: string, user: User): Target | undefined {
    try {
      return parseTarget(path, this.catalog)
    } catch (error) {
      this.access.authorize(user, attemptAt(method, path))
      throw error
    }
  }

  /** Reviews of others are a right of their own. */
  async #reviewOther(path: string, user: User, request: IncomingMessage): Promise<object | undefined> {
    const namespace = localReviewIn(path)
    const [, , group = '', , ...rest] = path.split('/')
    const resource = rest.at(-1) ?? ''
    if (path !== reviewPaths.other && path !== reviewPaths.token && namespace === undefined) return undefined
    const attempt = { verb: 'create', group, resource, subresource: '', name: '', path }
    this.access.authorize(user, { ...attempt, namespace: namespace ?? '' })
    const body = await readBody(request)
    return path === reviewPaths.token
      ? reviewToken(this.access, body, Date.now())
      : reviewOther(this.access, body, namespace)
  }

  requireUser(request: IncomingMessage): User {
    const { authorization } = request.headers
    const user = authorization === undefined ? anonymous : this.access.authenticate(authorization, Date.now())
    if (user === undefined) throw new StatusError(401, 'Unauthorized', 'Unauthorized')
    return actingAs(this.access, user, request.headersDistinct)
  }

  /** Discovery and OpenAPI; undefined where the path is neither. */
  #describe(path: string, request: IncomingMessage): { body: object; type?: string } | undefined {
    const { kinds } = this.catalog
    if (path === '/api' || path === '/apis')
      if (request.headers.accept?.includes(aggregatedType))
        return { body: aggregatedDiscovery(kinds, path === '/api'), type: aggregatedType }
    if (path === '/openapi/v3') return { body: openApiIndex(kinds) }
    const body = path.startsWith('/openapi/v3/')
      ? openApiDocument(kinds, path.slice('/openapi/v3/'.length))
      : legacyDiscovery(kinds, path)
    return body && { body }
  }

  async #answerObject(
    request: IncomingMessage,
    response: ServerResponse,
    url: URL,
    target: Target & { readonly name: string },
  ): Promise<void> {
    const { subresource, name, kind } = target
    const isAction = ['token', 'binding', 'eviction', 'exec', 'attach'].includes(subresource)
    if (subresource === 'log') return answerLog(this, target, url, response)
    if (isAction && request.method !== 'POST') throw methodNotAllowed()
    const type = (request.headers['content-type'] ?? '').split(';')[0]?.trim() ?? ''
    checkWriteOptions(request.method ?? '', url.searchParams, type === 'application/apply-patch+yaml')
    const write = writeRequest(request, url, response, target, name)
    const read = (isPatch: boolean): Promise<unknown> => readBody(request, { kind: kind.kind, isPatch })
    switch (request.method) {
      case 'GET':
        return this.#sendObject(request, response, url, target)
      case 'PUT': {
        const body = await read(false)
        if (subresource === 'scale') return this.#scale(response, write, target, () => body)
        return sendText(response, 200, encodeObject(replace(this.store, write, body)))
      }
      case 'PATCH': {
        const body = await read(true)
        if (subresource === 'scale')
          return this.#scale(response, write, target, (scale) => applyPatch(type, scale, body, false))
        const existed = this.store.get(resourceKey(target.kind), keyOfTarget(target)) !== undefined
        const stored = patch(this.store, write, type, body)
        return sendText(response, existed ? 200 : 201, encodeObject(stored))
      }
      case 'DELETE':
        return this.#delete(response, target, parseDeleteOptions(await readBody(request), url))
      case 'POST': {
        if (!isAction) throw notSupported('create', target)
        const body = await readBody(request)
        return send(
          response,
          201,
          act(this.store, this.#lifecycle, this.access, target, this.#require(target), body, url),
        )
      }
      default:
        throw methodNotAllowed()
    }
  }

  #require(target: Target): ApiObject {
    const object = this.store.get(resourceKey(target.kind), keyOfTarget(target))
    if (object === undefined) throw notFound(target.kind.group, target.kind.plural, target.name ?? '')
    return object
  }

  /** A scale is a view of an object: what changes in the view changes there. */
  #scale(
    response: ServerResponse,
    write: WriteRequest,
    target: Target,
    change: (scale: object) => unknown,
  ): void {
    const object = this.#require(target)
    const wanted = withScale(object, change(scaleOf(object)))
    send(response, 200, scaleOf(replace(this.store, { ...write, subresource: '' }, wanted)))
  }

  #sendObject(request: IncomingMessage, response: ServerResponse, url: URL, target: Target): void {
    const object = this.#require(target)
    const version = parseVersion(url.searchParams.get('resourceVersion')) ?? 0
    if (version > this.store.version) throw tooLarge(version, this.store.version)
    const render = rendererOf(request, url, target)
    if (target.subresource === 'scale') send(response, 200, scaleOf(object))
    else if (render === undefined) sendText(response, 200, encodeObject(object))
    else send(response, 200, render.one(object))
  }

  async #answerCollection(
    request: IncomingMessage,
    response: ServerResponse,
    url: URL,
    target: Target,
  ): Promise<void> {
    const { kind } = target
    const render = rendererOf(request, url, target)
    const matches = predicateOf(url, target)
    switch (request.method) {
      case 'GET':
        if (isWatch(url)) {
          const watch = { kind, matches, render, url, bookmarkEveryMs: this.#bookmarkEveryMs }
          return serveWatch(this.store, watch, response)
        }
        return sendList(this.store, response, url.searchParams, target, matches, render)
      case 'POST': {
        if (kind.isNamespaced && target.namespace === undefined) throw methodNotAllowed()
        checkWriteOptions('POST', url.searchParams, false)
        const body = await readBody(request, { kind: kind.kind, isPatch: false })
        const created = create(this.store, writeRequest(request, url, response, target, ''), body)
        return sendText(response, 201, encodeObject(created))
      }
      case 'DELETE': {
        const options = parseDeleteOptions(await readBody(request), url)
        const objects = this.store.list(resourceKey(kind)).filter(matches)
        const items = objects.map((object) => {
          const deleted = this.#lifecycle.delete(resourceKey(kind), object, options)
          return this.store.get(resourceKey(kind), keyOf(object)) === undefined ? object : deleted
        })
        return sendObjects(response, this.store, kind, options.dryRun ? objects : items)
      }
      default:
        throw methodNotAllowed()
    }
  }

  #delete(response: ServerResponse, target: Target, options: ReturnType<typeof parseDeleteOptions>): void {
    if (target.subresource !== '') throw notSupported('delete', target)
    const { kind } = target
    const object = this.#require(target)
    const { name, uid } = object.metadata
    refuseOtherThan(kind, object, options)
    if (target.user !== undefined) restrictDeletion(this.store, target.user, kind, keyOfTarget(target))
    const deleted = this.#lifecycle.delete(resourceKey(kind), object, options)
    const isKept = !options.dryRun && this.store.get(resourceKey(kind), keyOf(object)) !== undefined
    if (isKept || returnedKinds.has(kind.kind)) {
      sendText(response, 200, encodeObject(deleted))
      return
    }
    const details = { name, ...(kind.group === '' ? {} : { group: kind.group }), kind: kind.plural, uid }
    send(response, 200, { ...success, details })
  }
}

/** Of these the answer to a deletion is the object as it was, of all others that it is gone. */
const returnedKinds = new Set(['Pod', 'ServiceAccount', 'Service'])

function refuseOtherThan(
  { group, plural, kind }: ResourceKind,
  { metadata }: ApiObject,
  { uid, resourceVersion }: ReturnType<typeof parseDeleteOptions>,
): void {
  const refuse = (what: string, wanted: string, found: string | undefined, might: string): never => {
    const qualified = group === '' ? kind : `${kind}.${group}`
    throw new StatusError(
      409,
      'Conflict',
      `Operation cannot be fulfilled on ${qualified} "${metadata.name}": the ${what} in the precondition (${wanted}) does not match the ${what} in record (${found}). The object might have been ${might}`,
      { name: metadata.name, group, kind: kind || plural },
    )
  }
  if (uid !== undefined && uid !== metadata.uid)
    refuse('UID', uid, metadata.uid, 'deleted and then recreated')
  if (resourceVersion !== undefined && resourceVersion !== metadata.resourceVersion)
    refuse('ResourceVersion', resourceVersion, metadata.resourceVersion, 'modified')
}

function notSupported(verb: string, { kind: { group, plural } }: Target): StatusError {
  const qualified = group === '' ? plural : `${plural}.${group}`
  return new StatusError(
    405,
    'MethodNotAllowed',
    `${verb} is not supported on resources of kind "${qualified}"`,
    { group, kind: plural },
  )
}

function keyOfTarget({ namespace, name = '' }: Target): string {
  return namespace === undefined ? name : `${namespace}/${name}`
}

function writeRequest(
  request: IncomingMessage,
  url: URL,
  response: ServerResponse,
  target: Target,
  name: string,
): WriteRequest {
  const { searchParams } = url
  const validation = searchParams.get('fieldValidation')
  return {
    kind: target.kind,
    user: target.user,
    namespace: target.namespace,
    name,
    subresource: target.subresource,
    manager: searchParams.get('fieldManager') || managerOf(request),
    force: searchParams.get('force') === 'true',
    dryRun: searchParams.getAll('dryRun').includes('All'),
    fieldValidation: validation === 'Strict' || validation === 'Ignore' ? validation : 'Warn',
    warn: (text) => response.appendHeader('warning', `299 - ${JSON.stringify(text)}`),
  }
}

/** Who does not say a name of its own is called as its program is. */
function managerOf({ headers }: IncomingMessage): string {
  return (headers['user-agent'] ?? 'unknown').split('/')[0]?.slice(0, 128) ?? 'unknown'
}
