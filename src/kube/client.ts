import { Agent, buildConnector, request } from 'undici'
import { abortAfter, type Clock, systemClock } from '../runtime/clock.ts'
import type { ClusterAccess } from './access.ts'
import { keepAliveMs } from './keep-alive.ts'
import { KubeError } from './kube-error.ts'

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

interface KubeList<T> {
  readonly metadata: { readonly resourceVersion?: string; readonly continue?: string }
  readonly items: readonly T[]
}

/** Which objects: `group` is empty for the core group. */
export interface ResourceName {
  readonly group: string
  readonly version: string
  readonly plural: string
  readonly isNamespaced: boolean
}

export interface ListOptions {
  readonly namespace?: string
  readonly labelSelector?: string
  readonly fieldSelector?: string
  /**
   * At least as new as this is new enough, and the API server may answer from its memory instead of asking etcd; `0`: as it
   * remembers it. Without it the answer is what holds now.
   */
  readonly notOlderThan?: string
}

type PatchType = 'merge' | 'json' | 'strategic' | 'apply'

interface WriteOptions {
  readonly namespace?: string
  readonly subresource?: string
  readonly fieldManager?: string
  readonly force?: boolean
  readonly dryRun?: boolean
  readonly signal?: AbortSignal
}

const contentTypes: Readonly<Record<PatchType, string>> = {
  merge: 'application/merge-patch+json',
  json: 'application/json-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  apply: 'application/apply-patch+yaml',
}

interface Call {
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
  /** An answer that has not come whole by then counts as a failure; a watch only has to begin. */
  readonly timeoutMs?: number
  readonly clock?: Clock
}

export const defaultTimeoutMs = 30_000

/** A thin client: JSON over HTTP/1.1, one keep-alive pool. Failures are KubeErrors, or the network's own errors. */
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

  /** The answer, whose body is still to be read. A KubeError where it is not what was asked for. */
  async open(call: Call) {
    const response = await this.send(call)
    if (response.statusCode < 300) return response
    throw toError(call, response.statusCode, await response.body.text(), response.headers['retry-after'])
  }

  /** With another credential once more, where the server refuses the one that was good until now. */
  async send(call: Call) {
    const token = await this.#access.token()
    const response = await this.#sendAs(token, call)
    if (response.statusCode !== 401 || this.#access.renew === undefined) return response
    await response.body.dump()
    await this.#access.renew(token)
    if (this.#access.clientCertificate !== undefined) {
      /* Connections keep the certificate with which they began. */
      const before = this.#dispatcher
      this.#dispatcher = this.#openPool()
      void before.close()
    }
    return this.#sendAs(await this.#access.token(), call)
  }

  #sendAs(token: string | undefined, { method, path, query = {}, body, contentType, accept, signal }: Call) {
    const parameters = Object.entries(query).filter((pair): pair is [string, string] => pair[1] !== undefined)
    const search = new URLSearchParams(parameters).toString()
    const { impersonate } = this.#access
    return request(`${this.#access.server}${path}${search === '' ? '' : `?${search}`}`, {
      method,
      dispatcher: this.#dispatcher,
      headers: {
        accept: accept ?? 'application/json',
        'user-agent': this.#options.userAgent,
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(impersonate === undefined
          ? {}
          : { 'impersonate-user': impersonate.user, 'impersonate-group': [...impersonate.groups] }),
        ...(body === undefined ? {} : { 'content-type': contentType ?? 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(signal === undefined ? {} : { signal }),
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#dispatcher.destroy()
  }
}

/** Read for each connection: a cluster's authority and certificates are replaced while processes run. */
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

/** The objects of one kind. */
export class Resource<T extends KubeObject> {
  readonly client: KubeClient
  readonly name: ResourceName

  constructor(client: KubeClient, name: ResourceName) {
    this.client = client
    this.name = name
  }

  path(namespace?: string, object?: string, subresource?: string): string {
    const { group, version, plural, isNamespaced } = this.name
    const parts = [
      group === '' ? `/api/${version}` : `/apis/${group}/${version}`,
      ...(isNamespaced && namespace !== undefined ? [`namespaces/${encodeURIComponent(namespace)}`] : []),
      plural,
      ...(object === undefined ? [] : [encodeURIComponent(object)]),
      ...(subresource === undefined ? [] : [subresource]),
    ]
    return parts.join('/')
  }

  async get(name: string, namespace?: string, signal?: AbortSignal): Promise<T> {
    const path = this.path(namespace, name)
    return (await this.client.json({ method: 'GET', path, ...(signal === undefined ? {} : { signal }) })) as T
  }

  /** All pages. */
  async list(options: ListOptions = {}, signal?: AbortSignal): Promise<KubeList<T>> {
    const items: T[] = []
    let from: string | undefined
    for (;;) {
      const page = (await this.client.json({
        method: 'GET',
        path: this.path(options.namespace),
        query: {
          labelSelector: options.labelSelector,
          fieldSelector: options.fieldSelector,
          limit: '500',
          continue: from,
          ...(from === undefined ? versionQuery(options.notOlderThan) : {}),
        },
        ...(signal === undefined ? {} : { signal }),
      })) as KubeList<T>
      items.push(...(page.items ?? []))
      from = page.metadata.continue
      if (!from) return { metadata: page.metadata, items }
    }
  }

  async create(object: T, options: WriteOptions = {}): Promise<T> {
    const namespace = options.namespace ?? object.metadata.namespace
    return (await this.client.json({
      method: 'POST',
      path: this.path(namespace, undefined),
      ...asked(options),
      body: object,
    })) as T
  }

  /** Fails with a conflict where the object has another resourceVersion by now. */
  async replace(object: T, options: WriteOptions = {}): Promise<T> {
    const { name, namespace } = object.metadata
    return (await this.client.json({
      method: 'PUT',
      path: this.path(options.namespace ?? namespace, name, options.subresource),
      ...asked(options),
      body: object,
    })) as T
  }

  async patch(name: string, type: PatchType, body: unknown, options: WriteOptions = {}): Promise<T> {
    return (await this.client.json({
      method: 'PATCH',
      path: this.path(options.namespace, name, options.subresource),
      ...asked(options),
      body,
      contentType: contentTypes[type],
    })) as T
  }

  /** Server-side apply: what `object` says becomes so, and what this manager said before and no longer says goes. */
  async apply(object: T, options: WriteOptions & { readonly fieldManager: string }): Promise<T> {
    const namespace = options.namespace ?? object.metadata.namespace
    return this.patch(object.metadata.name, 'apply', object, {
      ...options,
      ...(namespace ? { namespace } : {}),
    })
  }

  /** With a `uid`: fails with a conflict where there is another object of that name by now. */
  async delete(
    name: string,
    options: {
      readonly namespace?: string
      readonly gracePeriodSeconds?: number
      readonly uid?: string | undefined
    } = {},
  ) {
    const { namespace, gracePeriodSeconds, uid } = options
    return this.client.json({
      method: 'DELETE',
      path: this.path(namespace, name),
      body: {
        propagationPolicy: 'Background',
        ...(gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds }),
        ...(uid === undefined ? {} : { preconditions: { uid } }),
      },
    })
  }
}

/** With a version of its own, and not with 0, the API server wants to be told how it is meant. */
function versionQuery(version: string | undefined): Record<string, string | undefined> {
  return {
    resourceVersion: version,
    resourceVersionMatch: version === undefined || version === '0' ? undefined : 'NotOlderThan',
  }
}

function asked({ fieldManager, force, dryRun, signal }: WriteOptions): Pick<Call, 'query' | 'signal'> {
  const query = { fieldManager, force: force ? 'true' : undefined, dryRun: dryRun ? 'All' : undefined }
  return { query, ...(signal === undefined ? {} : { signal }) }
}
