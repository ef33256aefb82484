import { once } from 'node:events'
import { chmodSync, mkdirSync, rmSync } from 'node:fs'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { connect } from 'node:net'
import { dirname } from 'node:path'
import { cleanedPath } from '../../install/settings/process-settings.ts'
import type { Finding } from '../../runtime/finding.ts'
import { createServer } from '../../runtime/http.ts'
import type { ExplainRequest, Explanation, WayOut } from './explain/explanation.ts'
import type { FlowQuery, FlowRow, PortOwner } from './flows/flow-row.ts'
import { HttpError } from './http-error.ts'
import type {
  AgentStatus,
  CniRequest,
  CniResult,
  CompatibleEgressRow,
  DropEvent,
  EgressView,
  PageView,
  ServiceView,
} from './local-api.ts'
import type { NatLogAnswer, NatLogQuery } from './nat-log/nat-log-row.ts'
import type {
  PassageLine,
  PassageQuery,
  TestPacketRequest,
  TestPacketResult,
} from './test-packet/test-packet-row.ts'

/** The requests that the agent answers. local-api.ts describes the answers. */
export interface LocalApi {
  isReady(): boolean
  status(): Promise<AgentStatus>
  problems(): readonly string[]
  config(): Readonly<Record<string, string>>
  findings(): readonly Finding[]
  compatibleRows(): Promise<readonly CompatibleEgressRow[]>
  egress(): readonly EgressView[]
  page(): PageView
  services(): readonly ServiceView[]
  drops(signal: AbortSignal): AsyncIterable<DropEvent>
  explain(request: ExplainRequest): Promise<Explanation>
  wayOut(from: string, to: string): WayOut
  sendTestPacket(request: TestPacketRequest): Promise<TestPacketResult>
  passages(query: PassageQuery, signal: AbortSignal): AsyncIterable<PassageLine>
  owner(address: string, port: number): PortOwner
  flows(query: FlowQuery): AsyncIterable<FlowRow>
  natLog(query: NatLogQuery): AsyncIterable<NatLogAnswer>
  metrics(): Promise<string>
  cni(request: CniRequest): Promise<CniResult | undefined>
  loopback(netns: string): readonly string[]
}

const maxRequestBytes = 1 << 20

/**
 * Serves the local API. Only root may use the socket, because its users can wire pods. A socket that a killed agent left is
 * replaced.
 */
export async function serveLocalApi(socketPath: string, api: LocalApi): Promise<Server> {
  mkdirSync(dirname(socketPath), { recursive: true })
  rmSync(socketPath, { force: true })
  const server = createServer((request, response) => {
    answer(request, response, api).catch((error: unknown) => refuse(response, error))
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(socketPath, resolve)
  })
  chmodSync(socketPath, 0o600)
  return server
}

/** Whether a process listens on the socket. A killed agent leaves the file without a process. */
export function isAnswered(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(socketPath)
    socket.on('connect', () => resolve(true)).on('error', () => resolve(false))
    socket.on('connect', () => socket.destroy())
  })
}

/** Serves on the node's loopback that the clean-up is done, and nothing else. */
export async function serveCleaned(port: number): Promise<Server> {
  const server = createServer(({ url }, response) => sendNothing(response, url === cleanedPath ? 204 : 404))
  await listen(server, port, '127.0.0.1')
  return server
}

function listen(server: Server, port: number, address: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, address, resolve)
  })
}

/** Serves the kubelet's probes and metrics. No request here changes anything. */
export async function serveHealth(port: number, address: string, api: LocalApi): Promise<Server> {
  const server = createServer((request, response) => {
    const path = new URL(request.url ?? '/', 'http://agent').pathname
    const known = ['/healthz', '/readyz', '/metrics']
    const answered = known.includes(path)
      ? answer(request, response, api)
      : Promise.reject(new HttpError(404, 'the health port has no such path'))
    answered.catch((error: unknown) => refuse(response, error))
  })
  await listen(server, port, address)
  return server
}

async function answer(request: IncomingMessage, response: ServerResponse, api: LocalApi): Promise<void> {
  const { pathname: path, searchParams: query } = new URL(request.url ?? '/', 'http://agent')
  switch (`${request.method} ${path}`) {
    case 'GET /healthz':
      return sendNothing(response, 204)
    case 'GET /readyz':
      return sendNothing(response, api.isReady() ? 204 : 503)
    case 'GET /v1/status':
      return sendJson(response, await api.status())
    case 'GET /v1/config':
      return sendJson(response, api.config())
    case 'GET /v1/findings':
      return sendJson(response, api.findings())
    case 'GET /v1/bpf/egress':
      return sendJson(response, await api.compatibleRows())
    case 'GET /v1/egress':
      return sendJson(response, api.egress())
    case 'GET /v1/page':
      return sendJson(response, api.page())
    case 'GET /v1/services':
      return sendJson(response, api.services())
    case 'GET /v1/drops':
      return sendEvents(request, response, (signal) => api.drops(signal))
    case 'POST /v1/explain':
      return sendJson(response, await api.explain((await readJson(request)) as ExplainRequest))
    case 'GET /v1/way-out':
      return sendJson(response, api.wayOut(query.get('from') ?? '', query.get('to') ?? ''))
    case 'POST /v1/test-packet':
      return sendJson(response, await api.sendTestPacket((await readJson(request)) as TestPacketRequest))
    case 'GET /v1/passages':
      return sendEvents(request, response, (signal) => api.passages(Object.fromEntries(query), signal))
    case 'GET /v1/owner':
      return sendJson(response, api.owner(query.get('address') ?? '', Number(query.get('port'))))
    case 'GET /v1/flows':
      return sendEvents(request, response, () => api.flows(Object.fromEntries(query)))
    case 'GET /v1/nat-log':
      return sendEvents(request, response, () => api.natLog(Object.fromEntries(query)))
    case 'GET /metrics':
      response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4' }).end(await api.metrics())
      return
    case 'POST /v1/cni': {
      const result = await api.cni((await readJson(request)) as CniRequest)
      return result === undefined ? sendNothing(response, 204) : sendJson(response, result)
    }
    case 'POST /v1/cni/loopback': {
      const { netns } = (await readJson(request)) as { readonly netns: string }
      return sendJson(response, { addresses: api.loopback(netns) })
    }
    default:
      throw new HttpError(404, `the agent has no ${request.method} ${path}`)
  }
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of request) {
    length += (chunk as Buffer).length
    if (length > maxRequestBytes)
      throw new HttpError(413, `the request is larger than ${maxRequestBytes} bytes`)
    chunks.push(chunk as Buffer)
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'))
  } catch (cause) {
    throw new HttpError(400, 'the request is not JSON', { cause })
  }
}

/** Sends values until there are no more, or the client disconnects. A client that reads slowly is waited for. */
async function sendEvents(
  request: IncomingMessage,
  response: ServerResponse,
  values: (signal: AbortSignal) => AsyncIterable<unknown>,
): Promise<void> {
  const gone = new AbortController()
  request.once('close', () => gone.abort())
  response.once('close', () => gone.abort())
  const given = values(gone.signal)
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
  response.flushHeaders()
  for await (const value of given) {
    if (gone.signal.aborted) return
    if (!response.write(`data: ${JSON.stringify(value)}\n\n`))
      await once(response, 'drain', { signal: gone.signal })
  }
  response.end()
}

function sendJson(response: ServerResponse, body: unknown): void {
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}

function sendNothing(response: ServerResponse, status: number): void {
  response.writeHead(status).end()
}

function refuse(response: ServerResponse, error: unknown): void {
  if (response.headersSent) {
    response.destroy()
    return
  }
  const status = error instanceof HttpError ? error.status : 500
  const message = error instanceof Error ? error.message : String(error)
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify({ message }))
}
