import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Access, User } from '../access/access.ts'
import { actingAs } from '../access/impersonation.ts'
import { Catalog } from '../objects/catalog.ts'
import { Lifecycle } from '../objects/lifecycle.ts'
import type { Store } from '../objects/store.ts'
import { DefinitionController } from '../schema/definition-controller.ts'
import { attemptAt, attemptOf, pathAttempt } from './attempt.ts'
import type { Cluster } from './call.ts'
import { describeApi } from './description/descriptions.ts'
import { openApiV2 } from './description/openapi.ts'
import { send, sendText } from './encoding.ts'
import { answerLog } from './kubelets/kubelet-proxy.ts'
import { parseTarget, parseUrl, type Target } from './request.ts'
import { RequestCounts } from './request-counts.ts'
import { answerCollection } from './resources/collection-requests.ts'
import { answerObject } from './resources/object-requests.ts'
import { answerReview } from './review-requests.ts'
import { StatusError, statusBody } from './status-error.ts'

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
/** No real API server has this path. It is for measurements. */
const requestCountsPath = '/debug/requests'

/** A user without a credential. Roles may grant it something. */
const anonymous: User = { name: 'system:anonymous', uid: '', groups: ['system:unauthenticated'] }

/** A Kubernetes API server in one process, as far as kubectl, the lab and our own processes need one. */
export class ApiServer implements Cluster {
  readonly store: Store
  readonly catalog: Catalog
  readonly access: Access
  readonly lifecycle: Lifecycle
  readonly kubeletToken: string
  readonly bookmarkEveryMs: number
  readonly #counts = new RequestCounts()

  constructor(store: Store, access: Access, kubeletToken: string, bookmarkEveryMs: number) {
    this.store = store
    this.access = access
    this.kubeletToken = kubeletToken
    this.bookmarkEveryMs = bookmarkEveryMs
    new DefinitionController(store)
    this.catalog = new Catalog(store)
    this.lifecycle = new Lifecycle(store, this.catalog)
    this.lifecycle.resume()
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
        // The rest of a body that was not read would be parsed as the next request.
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
    if (method === 'GET' && this.#answerAboutServer(path, user, request, response)) return
    const review = method === 'POST' ? await answerReview(this.access, path, user, request) : undefined
    if (review !== undefined) return send(response, 201, review)
    const parsed = this.#parseTarget(method, path, user)
    if (parsed === undefined) {
      this.access.authorize(user, attemptAt(method, path))
      return sendText(response, 404, '404 page not found\n', 'text/plain; charset=utf-8')
    }
    const target = { ...parsed, user }
    this.access.authorize(user, attemptOf(method, url, target))
    const call = { cluster: this, request, response, url, target }
    if (target.name === undefined) return answerCollection(call)
    if (target.subresource === 'log') return answerLog(this, target, url, response)
    return answerObject({ ...call, target: { ...target, name: target.name } })
  }

  /** Discovery, OpenAPI and counts. False if the path is none of these. */
  #answerAboutServer(path: string, user: User, request: IncomingMessage, response: ServerResponse): boolean {
    const described = describeApi(this.catalog.kinds, path, request)
    if (described === undefined && path !== openApiV2.path && path !== requestCountsPath) return false
    this.access.authorize(user, pathAttempt('GET', path))
    if (described !== undefined) send(response, 200, described.body, described.type)
    else if (path === openApiV2.path) sendText(response, 200, openApiV2.empty, openApiV2.type)
    else send(response, 200, this.#counts.byUser())
    return true
  }

  /** A user without the right to a missing kind learns only that the right is missing. */
  #parseTarget(method: string, path: string, user: User): Target | undefined {
    try {
      return parseTarget(path, this.catalog)
    } catch (error) {
      this.access.authorize(user, attemptAt(method, path))
      throw error
    }
  }

  requireUser(request: IncomingMessage): User {
    const { authorization } = request.headers
    const user = authorization === undefined ? anonymous : this.access.authenticate(authorization, Date.now())
    if (user === undefined) throw new StatusError(401, 'Unauthorized', 'Unauthorized')
    return actingAs(this.access, user, request.headersDistinct)
  }
}
