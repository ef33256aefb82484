/* The package's index loads fetch, caches, mocks and WebSockets as well, which takes twice as long as a start of Node.js. */
import request from 'undici/lib/api/api-request.js'
import buildConnector from 'undici/lib/core/connect.js'
import Agent from 'undici/lib/dispatcher/agent.js'
import type { WebSocket } from 'ws'
import { abortAfter, type Clock, systemClock } from '../runtime/clock.ts'
import type { ClusterAccess } from './access.ts'
import { keepAliveMs } from './keep-alive.ts'
import { KubeError } from './kube-error.ts'
import { Resource } from './resource.ts'

/** What every object has; kinds add spec and status. */
export interface KubeObject {
  readonly apiVersion?: string
  readonly kind?: string
  readonly metadata: {
    readonly name: string
    readonly namespace?: string
    readonly uid?: string
    readonly resourceVersion?: string
    readonly generation?: number
    readonly creationTimestamp?: string
    readonly deletionTimestamp?: string
    readonly labels?: Readonly<Record<string, string>>
    readonly annotations?: Readonly<Record<string, string>>
  }
}

/** Which objects: `group` is empty for the core group. */
export interface ResourceName {
  readonly group: string
  readonly version: string
  readonly plural: string
  readonly isNamespaced: boolean
}

/** One request to the API server. */
export interface Call {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  readonly path: string
  readonly query?: Readonly<Record<string, string | undefined>>
  readonly body?: unknown
  readonly contentType?: string
  /** Default: application/json. */
  readonly accept?: string
  readonly signal?: AbortSignal
}

interface ClientOptions {
  readonly userAgent: string
  /** A request fails if its whole response has not arrived by then. For a watch, only the headers have to arrive. */
  readonly timeoutMs?: number
  readonly clock?: Clock
}

export const defaultTimeoutMs = 30_000

/** A thin client: JSON over HTTP/1.1, one keep-alive pool. It throws KubeErrors and the network's own errors. */
export class KubeClient {
  readonly #access: ClusterAccess
  readonly #options: ClientOptions
  #dispatcher: Agent

  constructor(access: ClusterAccess, options: ClientOptions) {
    this.#access = access
    this.#options = options
    this.#dispatcher = this.#openPool()
  }

  #openPool(): Agent {
    return new Agent({
      connect: (target, callback) => buildConnector(connectorOptions(this.#access))(target, callback),
      headersTimeout: this.#options.timeoutMs ?? defaultTimeoutMs,
      bodyTimeout: 0,
      keepAliveTimeout: 30_000,
    })
  }

  resource<T extends KubeObject>(name: ResourceName): Resource<T> {
    return new Resource<T>(this, name)
  }

  async json(call: Call): Promise<unknown> {
    const { timeoutMs = defaultTimeoutMs, clock = systemClock } = this.#options
    using timeout = abortAfter(clock, timeoutMs)
    const deadline = timeout.signal
    const signal = call.signal === undefined ? deadline : AbortSignal.any([call.signal, deadline])
    try {
      const response = await this.open({ ...call, signal })
      const text = await response.body.text()
      return text === '' ? undefined : JSON.parse(text)
    } catch (cause) {
      if (!deadline.aborted) throw cause
      throw new Error(`${call.method} ${call.path}: no complete answer within ${timeoutMs / 1000} s`, {
        cause,
      })
    }
  }

  /** Returns the response with its body unread. Throws a KubeError if the status is 300 or higher. */
  async open(call: Call) {
    const response = await this.send(call)
    if (response.statusCode < 300) return response
    throw toError(call, response.statusCode, await response.body.text(), response.headers['retry-after'])
  }

  /** Sends the request. If the server refuses the credential (401), renews the credential and sends the request once more. */
  async send(call: Call) {
    const token = await this.#access.token()
    const response = await this.#sendAs(token, call)
    if (response.statusCode !== 401 || this.#access.renew === undefined) return response
    await response.body.dump()
    await this.#access.renew(token)
    if (this.#access.clientCertificate !== undefined) {
      /* Open connections keep the old certificate. */
      const before = this.#dispatcher
      this.#dispatcher = this.#openPool()
      void before.close()
    }
    return this.#sendAs(await this.#access.token(), call)
  }

  #sendAs(token: string | undefined, { method, path, query = {}, body, contentType, accept, signal }: Call) {
    const parameters = Object.entries(query).filter((pair): pair is [string, string] => pair[1] !== undefined)
    const search = new URLSearchParams(parameters).toString()
    const url = new URL(`${this.#access.server}${path}${search === '' ? '' : `?${search}`}`)
    return request.call(this.#dispatcher, {
      method,
      origin: url.origin,
      path: `${url.pathname}${url.search}`,
      headers: {
        accept: accept ?? 'application/json',
        ...this.#credentials(token),
        ...(body === undefined ? {} : { 'content-type': contentType ?? 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(signal === undefined ? {} : { signal }),
    })
  }

  /** Opens a WebSocket. Its library is loaded only here, because agents and operators open none. */
  async connect(path: string, query: URLSearchParams, protocols: readonly string[]): Promise<WebSocket> {
    const { WebSocket: Socket } = await import('ws')
    const url = `${this.#access.server.replace(/^http/, 'ws')}${path}?${query}`
    return new Socket(url, [...protocols], {
      headers: this.#credentials(await this.#access.token()),
      handshakeTimeout: this.#options.timeoutMs ?? defaultTimeoutMs,
      ...connectorOptions(this.#access),
    })
  }

  #credentials(token: string | undefined) {
    const { impersonate } = this.#access
    return {
      'user-agent': this.#options.userAgent,
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(impersonate === undefined
        ? {}
        : { 'impersonate-user': impersonate.user, 'impersonate-group': [...impersonate.groups] }),
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#dispatcher.destroy()
  }
}

/** Read again for each connection, because certificates and their authority can change while this process runs. */
function connectorOptions({ ca, clientCertificate, tlsServerName, skipsTlsVerify }: ClusterAccess) {
  return {
    keepAlive: true,
    keepAliveInitialDelay: keepAliveMs,
    ...(ca === undefined ? {} : { ca }),
    ...(tlsServerName === undefined ? {} : { servername: tlsServerName }),
    ...(skipsTlsVerify ? { rejectUnauthorized: false } : {}),
    ...clientCertificate,
  }
}

function toError(
  call: Call,
  code: number,
  text: string,
  retryAfter: string | string[] | undefined,
): KubeError {
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch {
    body = { message: text.slice(0, 200) || `HTTP ${code}` }
  }
  const seconds = Number(retryAfter)
  return new KubeError(
    `${call.method} ${call.path}`,
    code,
    body,
    Number.isFinite(seconds) ? seconds * 1000 : undefined,
  )
}
