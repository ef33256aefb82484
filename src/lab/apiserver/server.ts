import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Access, Attempt, User } from './access.ts'
import type { ApiObject, JsonObject } from './api-object.ts'
import { Catalog } from './catalog.ts'
import { aggregatedDiscovery, aggregatedType, legacyDiscovery } from './discovery.ts'
import { streamLog } from './kubelet-proxy.ts'
import { Lifecycle } from './lifecycle.ts'
import { openApiDocument, openApiIndex } from './openapi.ts'
import { parseTarget, readBody, type Target } from './request.ts'
import { apiVersionOf, resourceKey } from './resources.ts'
import { type Predicate, parseFieldSelector, parseLabelSelector } from './selectors.ts'
import { badRequest, conflict, notFound, StatusError, statusBody } from './status-error.ts'
import { keyOf, type Store } from './store.ts'
import { renderTable } from './table.ts'
import { serveWatch } from './watching.ts'
import { create, patch, replace, type WriteRequest } from './write.ts'

export const serverVersion = {
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

const anonymousPaths = ['/version', '/healthz', '/livez', '/readyz']
const watchDefaultSeconds = 1800

/** A Kubernetes API server in one process, as far as kubectl, the lab and our own processes need one. */
export class ApiServer {
  readonly store: Store
  readonly catalog: Catalog
  readonly access: Access
  readonly kubeletToken: string
  readonly #lifecycle: Lifecycle

  constructor(store: Store, access: Access, kubeletToken: string) {
    this.store = store
    this.access = access
    this.kubeletToken = kubeletToken
    this.catalog = new Catalog(store)
    this.#lifecycle = new Lifecycle(store, this.catalog)
    this.#lifecycle.resume()
  }

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      await this.#answer(request, response)
    } catch (error) {
      if (response.headersSent) response.destroy()
      else if (error instanceof StatusError) send(response, error.code, statusBody(error))
      else {
        console.error(error)
        send(
          response,
          500,
          statusBody(
            new StatusError(
              500,
              'InternalError',
              `Internal error occurred: ${error instanceof Error ? error.message : error}`,
            ),
          ),
        )
      }
    }
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'https://apiserver')
    const path = url.pathname.replace(/\/+$/, '') || '/'
    if (path === '/version') return send(response, 200, serverVersion)
    if (anonymousPaths.includes(path))
      return void response.writeHead(200, { 'content-type': 'text/plain' }).end('ok')
    const user = this.requireUser(request)
    const general = this.#answerGeneral(path, request)
    if (general !== undefined) {
      if (!user.groups.includes('system:authenticated'))
        this.access.authorize(user, nonResource(request, path))
      return send(response, 200, general.body, general.type)
    }
    if (await this.#answerReview(path, user, request, response)) return
    const target = parseTarget(path, this.catalog)
    if (target === undefined) {
      this.access.authorize(user, nonResource(request, path))
      throw new StatusError(404, 'NotFound', 'the server could not find the requested resource')
    }
    this.access.authorize(user, attemptOf(request.method ?? 'GET', url, target))
    await this.#answerTarget(request, response, url, target)
  }

  requireUser(request: IncomingMessage): User {
    const user = this.access.authenticate(request.headers.authorization, Date.now())
    if (user === undefined) throw new StatusError(401, 'Unauthorized', 'Unauthorized')
    return user
  }

  #answerGeneral(path: string, request: IncomingMessage): { body: object; type?: string } | undefined {
    const { kinds } = this.catalog
    if (path === '/api' || path === '/apis')
      if (request.headers.accept?.includes('as=APIGroupDiscoveryList'))
        return { body: aggregatedDiscovery(kinds, path === '/api'), type: aggregatedType }
    if (path === '/openapi/v3') return { body: openApiIndex(kinds) }
    if (path.startsWith('/openapi/v3/')) {
      const body = openApiDocument(kinds, path.slice('/openapi/v3/'.length))
      return body && { body }
    }
    const body = legacyDiscovery(kinds, path)
    return body && { body }
  }

  async #answerReview(
    path: string,
    user: User,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<boolean> {
    if (request.method !== 'POST') return false
    const { name: username, uid, groups } = user
    if (path === '/apis/authentication.k8s.io/v1/selfsubjectreviews') {
      send(response, 201, {
        kind: 'SelfSubjectReview',
        apiVersion: 'authentication.k8s.io/v1',
        metadata: {},
        status: { userInfo: { username, uid, groups } },
      })
      return true
    }
    if (path !== '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews') return false
    const body = (await readBody(request)) as {
      spec?: { resourceAttributes?: JsonObject; nonResourceAttributes?: JsonObject }
    }
    const { resourceAttributes = {}, nonResourceAttributes = {} } = body?.spec ?? {}
    const text = (field: string): string =>
      String(resourceAttributes[field] ?? nonResourceAttributes[field] ?? '')
    const allowed = this.access.allows(user, {
      verb: text('verb'),
      group: text('group'),
      resource: text('resource'),
      subresource: text('subresource'),
      namespace: text('namespace'),
      name: text('name'),
      path: text('path'),
    })
    send(response, 201, {
      kind: 'SelfSubjectAccessReview',
      apiVersion: 'authorization.k8s.io/v1',
      metadata: {},
      spec: body?.spec,
      status: { allowed },
    })
    return true
  }

  async #answerTarget(
    request: IncomingMessage,
    response: ServerResponse,
    url: URL,
    target: Target,
  ): Promise<void> {
    const { kind, name, subresource } = target
    if (name === undefined) return this.#answerCollection(request, response, url, target)
    if (subresource === 'log') return streamLog(this, target, url, response)
    if (request.method === 'POST' && subresource !== '') return this.#answerAction(request, response, target)
    switch (request.method) {
      case 'GET':
        return this.#sendObject(request, response, url, target, this.#require(target))
      case 'PUT':
        return send(
          response,
          200,
          replace(this.store, writeRequest(url, response, target, name), await readBody(request)),
        )
      case 'PATCH': {
        const type = (request.headers['content-type'] ?? '').split(';')[0] ?? ''
        const existed = this.store.get(resourceKey(kind), keyOfTarget(target)) !== undefined
        const patched = patch(
          this.store,
          writeRequest(url, response, target, name),
          type,
          await readBody(request),
        )
        return send(response, existed ? 200 : 201, patched)
      }
      case 'DELETE':
        return this.#delete(request, response, target)
      default:
        throw new StatusError(
          405,
          'MethodNotAllowed',
          `the server does not allow this method on the requested resource`,
        )
    }
  }

  #require(target: Target): ApiObject {
    const object = this.store.get(resourceKey(target.kind), keyOfTarget(target))
    if (object === undefined) throw notFound(target.kind.group, target.kind.plural, target.name ?? '')
    return object
  }

  async #answerCollection(
    request: IncomingMessage,
    response: ServerResponse,
    url: URL,
    target: Target,
  ): Promise<void> {
    const { kind } = target
    const render = tableRenderer(request, url, target)
    const matches = predicateOf(url, target)
    if (request.method === 'POST') {
      const created = create(this.store, writeRequest(url, response, target, ''), await readBody(request))
      return send(response, 201, created)
    }
    if (request.method === 'DELETE') {
      for (const object of this.store.list(resourceKey(kind)))
        if (matches(object)) this.#lifecycle.delete(resourceKey(kind), object)
      return send(response, 200, { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success' })
    }
    if (request.method !== 'GET')
      throw new StatusError(
        405,
        'MethodNotAllowed',
        'the server does not allow this method on the requested resource',
      )
    const { searchParams } = url
    if (['true', '1'].includes(searchParams.get('watch') ?? ''))
      return serveWatch(
        this.store,
        {
          kind,
          matches,
          resourceVersion: searchParams.get('resourceVersion') ?? undefined,
          hasBookmarks: searchParams.get('allowWatchBookmarks') === 'true',
          timeoutMs: Number(searchParams.get('timeoutSeconds') ?? watchDefaultSeconds) * 1000,
          render: (object) =>
            render?.([object], { resourceVersion: object.metadata.resourceVersion }) ?? object,
        },
        response,
      )
    this.#sendList(response, searchParams, target, matches, render)
  }

  /** Pages are cut by key from what is there now: an object that comes or goes meanwhile may be missed or be told by the watch. */
  #sendList(
    response: ServerResponse,
    parameters: URLSearchParams,
    { kind }: Target,
    matches: Predicate,
    render: TableRenderer | undefined,
  ): void {
    const after = parameters.get('continue') ?? ''
    const limit = Number(parameters.get('limit') ?? 0)
    const all = this.store
      .list(resourceKey(kind))
      .filter((object) => matches(object) && (after === '' || keyOf(object) > after))
    const page = limit > 0 ? all.slice(0, limit) : all
    const last = page.at(-1)
    const metadata = {
      resourceVersion: String(this.store.version),
      ...(page.length < all.length && last !== undefined
        ? { continue: keyOf(last), remainingItemCount: all.length - page.length }
        : {}),
    }
    send(
      response,
      200,
      render?.(page, metadata) ?? {
        kind: `${kind.kind}List`,
        apiVersion: apiVersionOf(kind),
        metadata,
        items: page,
      },
    )
  }

  #sendObject(
    request: IncomingMessage,
    response: ServerResponse,
    url: URL,
    target: Target,
    object: ApiObject,
  ): void {
    if (target.subresource === 'scale') {
      send(response, 200, scaleOf(object))
      return
    }
    const render = tableRenderer(request, url, target)
    send(response, 200, render?.([object], { resourceVersion: object.metadata.resourceVersion }) ?? object)
  }

  async #delete(request: IncomingMessage, response: ServerResponse, target: Target): Promise<void> {
    const { kind } = target
    const body = ((await readBody(request)) ?? {}) as {
      gracePeriodSeconds?: number
      propagationPolicy?: string
      preconditions?: { uid?: string; resourceVersion?: string }
    }
    const object = this.#require(target)
    const { uid, resourceVersion } = body.preconditions ?? {}
    if (
      (uid && uid !== object.metadata.uid) ||
      (resourceVersion && resourceVersion !== object.metadata.resourceVersion)
    )
      throw conflict(kind.group, kind.plural, object.metadata.name)
    if (body.propagationPolicy === 'Orphan') this.#lifecycle.orphanDependents(object.metadata.uid ?? '')
    const deleted = this.#lifecycle.delete(resourceKey(kind), object, body.gracePeriodSeconds)
    if (kind.custom === undefined) return send(response, 200, deleted)
    send(response, 200, {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Success',
      details: { name: object.metadata.name, group: kind.group, kind: kind.plural, uid: object.metadata.uid },
    })
    if (kind.plural === 'customresourcedefinitions') this.#emptyDefinition(object)
  }

  /** Objects of a kind go with its definition. */
  #emptyDefinition(definition: ApiObject): void {
    const { group, names } = definition.spec as { group: string; names: { plural: string } }
    for (const object of this.store.list(`${group}/${names.plural}`))
      this.#lifecycle.delete(`${group}/${names.plural}`, object)
  }

  async #answerAction(request: IncomingMessage, response: ServerResponse, target: Target): Promise<void> {
    const object = this.#require(target)
    const body = (await readBody(request)) as
      | { spec?: { expirationSeconds?: number }; target?: { name?: string } }
      | undefined
    switch (target.subresource) {
      case 'token': {
        const seconds = Math.max(600, body?.spec?.expirationSeconds ?? 3600)
        const { token, expires } = this.access.issueToken(target.namespace ?? '', object, seconds, Date.now())
        const status = { token, expirationTimestamp: expires }
        return send(response, 201, {
          kind: 'TokenRequest',
          apiVersion: 'authentication.k8s.io/v1',
          metadata: object.metadata,
          spec: body?.spec,
          status,
        })
      }
      case 'binding': {
        if (object.spec?.nodeName) throw conflict('', 'pods', object.metadata.name)
        this.store.put('/pods', keyOf(object), {
          ...object,
          spec: { ...object.spec, nodeName: body?.target?.name },
        })
        return send(response, 201, { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success' })
      }
      case 'eviction':
        this.#lifecycle.delete('/pods', object)
        return send(response, 201, { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success' })
      default:
        throw badRequest(
          `${target.subresource} is not something to be created here; exec and attach need a WebSocket (kubectl 1.30 or later)`,
        )
    }
  }
}

type TableRenderer = (objects: readonly ApiObject[], metadata: object) => object

function tableRenderer(request: IncomingMessage, url: URL, { kind }: Target): TableRenderer | undefined {
  if (!request.headers.accept?.includes('as=Table')) return undefined
  const include = url.searchParams.get('includeObject') ?? 'Metadata'
  return (objects, metadata) => renderTable(kind, objects, metadata, include, Date.now())
}

function predicateOf(url: URL, { kind, namespace }: Target): Predicate {
  const labels = parseLabelSelector(url.searchParams.get('labelSelector') ?? '')
  const fields = parseFieldSelector(url.searchParams.get('fieldSelector') ?? '', kind.kind)
  return (object) =>
    (namespace === undefined || object.metadata.namespace === namespace) && labels(object) && fields(object)
}

function keyOfTarget({ namespace, name = '' }: Target): string {
  return namespace === undefined ? name : `${namespace}/${name}`
}

function scaleOf(object: ApiObject): object {
  return {
    kind: 'Scale',
    apiVersion: 'autoscaling/v1',
    metadata: object.metadata,
    spec: { replicas: object.spec?.replicas ?? 0 },
    status: { replicas: object.status?.replicas ?? 0 },
  }
}

const verbsByMethod: Readonly<Record<string, string>> = {
  GET: 'get',
  POST: 'create',
  PUT: 'update',
  PATCH: 'patch',
  DELETE: 'delete',
}

export function attemptOf(
  method: string,
  url: URL,
  { kind, namespace = '', name = '', subresource }: Target,
): Attempt {
  const isWatch = ['true', '1'].includes(url.searchParams.get('watch') ?? '')
  const single = verbsByMethod[method] ?? method.toLowerCase()
  const verb =
    name !== ''
      ? single
      : method === 'GET'
        ? isWatch
          ? 'watch'
          : 'list'
        : method === 'DELETE'
          ? 'deletecollection'
          : single
  return { verb, group: kind.group, resource: kind.plural, subresource, namespace, name, path: url.pathname }
}

function nonResource(request: IncomingMessage, path: string): Attempt {
  const verb = (verbsByMethod[request.method ?? 'GET'] ?? 'get').toLowerCase()
  return { verb, group: '', resource: '', subresource: '', namespace: '', name: '', path }
}

function writeRequest(url: URL, response: ServerResponse, target: Target, name: string): WriteRequest {
  const { searchParams } = url
  const validation = searchParams.get('fieldValidation')
  return {
    kind: target.kind,
    namespace: target.namespace,
    name,
    subresource: target.subresource,
    manager: searchParams.get('fieldManager') ?? '',
    force: searchParams.get('force') === 'true',
    dryRun: searchParams.get('dryRun') === 'All',
    fieldValidation: validation === 'Strict' || validation === 'Ignore' ? validation : 'Warn',
    warn: (text) => response.appendHeader('warning', `299 - ${JSON.stringify(text)}`),
  }
}

export function send(response: ServerResponse, code: number, body: object, type = 'application/json'): void {
  response.writeHead(code, { 'content-type': type }).end(JSON.stringify(body))
}
