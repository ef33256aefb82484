import { request as httpsRequest } from 'node:https'
import type { ClusterAccess } from '../../../src/kube/access.ts'
import type { RecordedAnswer, RecordedRequest } from './recording.ts'

/** Events of a watch are waited for until nothing has come for this long. */
const quietMs = 400
const answerWithinMs = 30_000
const account = 'system:serviceaccount:kube-system:sallyport-'

/** An API server that requests are sent to, as several users. */
export class Target {
  readonly #access: ClusterAccess
  readonly #tokens = new Map<string, string>()

  /** As an administrator. */
  constructor(access: ClusterAccess) {
    this.#access = access
  }

  async ask(user: string, request: RecordedRequest, expectedEvents?: number): Promise<RecordedAnswer> {
    const credentials = await this.#headersOf(user)
    const query = new URLSearchParams(
      Object.entries(request.query ?? {}).map(([key, value]): [string, string] => [key, String(value)]),
    )
    const path = query.size === 0 ? request.path : `${request.path}?${query}`
    const body = typeof request.body === 'string' ? request.body : JSON.stringify(request.body)
    const isAdmin = !('authorization' in credentials) && user !== 'anonymous'
    return send(
      this.#access,
      { method: request.method, path, body, headers: { ...request.headers, ...credentials } },
      isAdmin,
      expectedEvents,
    )
  }

  /** Asks as an administrator and wants no more than the body. */
  async admin(method: string, path: string, body?: unknown): Promise<RecordedAnswer> {
    const headers = { 'content-type': 'application/json', accept: 'application/json' }
    return this.ask('admin', { method, path, headers, ...(body === undefined ? {} : { body }) })
  }

  async #headersOf(user: string): Promise<Readonly<Record<string, string>>> {
    if (user === 'anonymous') return {}
    if (user === 'nobody') return { authorization: 'Bearer nobody' }
    if (user === 'agent' || user === 'operator')
      return { authorization: `Bearer ${await this.tokenOf(user)}` }
    const token = await this.#access.token()
    const admin: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` }
    if (!user.startsWith('node:')) return admin
    return {
      ...admin,
      'impersonate-user': `system:node:${user.slice(5)}`,
      'impersonate-group': 'system:nodes',
    }
  }

  /** Asked for once: what comes of a token when its account goes is a question of the recordings. */
  async tokenOf(name: string): Promise<string> {
    const known = this.#tokens.get(name)
    if (known !== undefined) return known
    const path = `/api/v1/namespaces/kube-system/serviceaccounts/sallyport-${name}/token`
    const { body } = await this.admin('POST', path, {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec: { expirationSeconds: 3600 },
    })
    const { status } = body as { status?: { token?: string } }
    if (status?.token === undefined) throw new Error(`no token for ${account}${name}`)
    this.#tokens.set(name, status.token)
    return status.token
  }
}

interface Outgoing {
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | undefined
}

function send(
  access: ClusterAccess,
  { method, path, headers, body }: Outgoing,
  isAdmin: boolean,
  expectedEvents: number | undefined,
): Promise<RecordedAnswer> {
  const isWatch = expectedEvents !== undefined
  return new Promise((resolve, reject) => {
    const outgoing = httpsRequest(
      `${access.server}${path}`,
      {
        method,
        agent: false,
        timeout: answerWithinMs,
        ...(access.ca === undefined ? {} : { ca: access.ca }),
        ...(access.skipsTlsVerify ? { rejectUnauthorized: false } : {}),
        ...(access.tlsServerName === undefined ? {} : { servername: access.tlsServerName }),
        ...(isAdmin ? access.clientCertificate : {}),
        headers: {
          'user-agent': 'golden/1.0',
          ...headers,
          ...(body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }),
        },
      },
      (incoming) => {
        const chunks: Buffer[] = []
        let quiet: NodeJS.Timeout | undefined
        const end = (): void => {
          clearTimeout(quiet)
          resolve(
            answerOf(incoming.statusCode ?? 0, incoming.headersDistinct, Buffer.concat(chunks), isWatch),
          )
          if (isWatch) outgoing.destroy()
        }
        incoming.on('data', (chunk: Buffer) => {
          chunks.push(chunk)
          if (!isWatch) return
          clearTimeout(quiet)
          if (Buffer.concat(chunks).toString('utf8').split('\n').length > expectedEvents)
            quiet = setTimeout(end, quietMs)
        })
        if (expectedEvents === 0) quiet = setTimeout(end, quietMs)
        incoming.once('error', reject)
        incoming.once('end', end)
      },
    )
    outgoing.once('timeout', () => outgoing.destroy(new Error(`${method} ${path}: no answer`)))
    outgoing.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNRESET' || error.code === 'EPIPE')
        resolve({ status: 0, contentType: null, body: { connection: 'RemoteDisconnected' } })
      else reject(error)
    })
    outgoing.end(body)
  })
}

function answerOf(
  status: number,
  headers: NodeJS.Dict<string[]>,
  bytes: Buffer,
  isWatch: boolean,
): RecordedAnswer {
  const contentType = headers['content-type']?.[0] ?? null
  const text = bytes.toString('utf8')
  const { warning } = headers
  return {
    status,
    contentType,
    ...(warning === undefined ? {} : { warnings: warning }),
    body: bodyOf(text, contentType, isWatch && status === 200),
  }
}

function bodyOf(text: string, contentType: string | null, isWatch: boolean): unknown {
  if (!contentType?.startsWith('application/json') || (text === '' && !isWatch)) return text
  try {
    if (!isWatch) return JSON.parse(text)
    return text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as unknown)
  } catch {
    return text
  }
}
