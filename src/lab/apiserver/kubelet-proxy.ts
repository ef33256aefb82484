import {
  type ClientRequest,
  request as httpRequest,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http'
import type { Duplex } from 'node:stream'
import type { ApiObject } from './api-object.ts'
import { attemptOf } from './attempt.ts'
import { parseTarget, type Target } from './request.ts'
import type { ApiServer } from './server.ts'
import { badRequest, notFound, StatusError, statusBody } from './status-error.ts'

const defaultKubeletPort = 10250

interface Backend {
  readonly host: string
  readonly port: number
  readonly path: string
}

/** The kubelet that runs the pod, and what it is asked there. */
function backendOf(
  server: ApiServer,
  target: Target,
  verb: 'exec' | 'attach' | 'containerLogs',
  url: URL,
): Backend {
  const { namespace = '', name = '' } = target
  const pod = server.store.get('/pods', `${namespace}/${name}`)
  if (pod === undefined) throw notFound('', 'pods', name)
  const nodeName = String(pod.spec?.nodeName ?? '')
  const node = server.store.get('/nodes', nodeName)
  if (node === undefined) throw badRequest(`pod ${name} does not have a host assigned`)
  const container = chooseContainer(pod, url.searchParams.get('container'))
  const addresses = (node.status?.addresses ?? []) as { type: string; address: string }[]
  const host = addresses.find(({ type }) => type === 'InternalIP')?.address
  if (host === undefined) throw new StatusError(500, 'InternalError', `node ${nodeName} has no InternalIP`)
  const endpoints = node.status?.daemonEndpoints as { kubeletEndpoint?: { Port?: number } } | undefined
  return {
    host,
    port: endpoints?.kubeletEndpoint?.Port ?? defaultKubeletPort,
    path: `/${verb}/${namespace}/${name}/${container}${url.search}`,
  }
}

function chooseContainer(pod: ApiObject, asked: string | null): string {
  const names = ((pod.spec?.containers ?? []) as { name: string }[]).map(({ name }) => name)
  const chosen =
    asked ?? pod.metadata.annotations?.['kubectl.kubernetes.io/default-container'] ?? names[0] ?? ''
  if (!names.includes(chosen))
    throw badRequest(`container ${chosen} is not valid for pod ${pod.metadata.name}`)
  return chosen
}

function dial(
  server: ApiServer,
  { host, port, path }: Backend,
  headers: Record<string, string | string[] | undefined>,
): ClientRequest {
  return httpRequest({
    host,
    port,
    path,
    headers: { ...headers, host: `${host}:${port}`, authorization: `Bearer ${server.kubeletToken}` },
  })
}

function unreachable({ host, port }: Backend, error: Error): StatusError {
  return new StatusError(
    500,
    'InternalError',
    `error dialing backend: dial tcp ${host}:${port}: ${error.message}`,
  )
}

export function streamLog(
  server: ApiServer,
  target: Target,
  url: URL,
  response: ServerResponse,
): Promise<void> {
  const backend = backendOf(server, target, 'containerLogs', url)
  return new Promise((resolve, reject) => {
    const outgoing = dial(server, backend, {})
    outgoing.on('error', (error) => reject(unreachable(backend, error)))
    outgoing.on('response', (incoming) => {
      response.writeHead(incoming.statusCode ?? 500, {
        'content-type': incoming.headers['content-type'] ?? 'text/plain',
      })
      response.flushHeaders()
      incoming.pipe(response)
      response.once('close', () => {
        outgoing.destroy()
        resolve()
      })
    })
    outgoing.end()
  })
}

/** exec and attach: the upgraded connection is passed on byte for byte; the kubelet speaks the protocol. */
export function proxyUpgrade(
  server: ApiServer,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): void {
  socket.on('error', () => socket.destroy())
  try {
    const url = new URL(request.url ?? '/', 'https://apiserver')
    const user = server.requireUser(request)
    const target = parseTarget(url.pathname, server.catalog)
    if (target === undefined || (target.subresource !== 'exec' && target.subresource !== 'attach'))
      throw badRequest('only exec and attach are WebSockets here')
    server.access.authorize(user, { ...attemptOf('POST', url, target), verb: 'create' })
    connect(server, backendOf(server, target, target.subresource, url), request, socket, head)
  } catch (error) {
    refuse(
      socket,
      error instanceof StatusError ? error : new StatusError(500, 'InternalError', String(error)),
    )
  }
}

function connect(
  server: ApiServer,
  backend: Backend,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): void {
  const outgoing = dial(server, backend, request.headers)
  outgoing.on('error', (error) => refuse(socket, unreachable(backend, error)))
  outgoing.on('response', (incoming) => {
    socket.write(
      `HTTP/1.1 ${incoming.statusCode} ${incoming.statusMessage}\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n`,
    )
    incoming.pipe(socket)
  })
  outgoing.on('upgrade', (incoming, upstream, first) => {
    const headers = Object.entries(incoming.headers).map(([name, value]) => `${name}: ${value}`)
    socket.write(`HTTP/1.1 101 Switching Protocols\r\n${headers.join('\r\n')}\r\n\r\n`)
    if (first.length > 0) socket.write(first)
    if (head.length > 0) upstream.write(head)
    upstream.on('error', () => socket.destroy())
    upstream.on('close', () => socket.end())
    socket.on('close', () => upstream.destroy())
    upstream.pipe(socket)
    socket.pipe(upstream)
  })
  outgoing.end()
}

function refuse(socket: Duplex, error: StatusError): void {
  const body = JSON.stringify(statusBody(error))
  socket.end(
    `HTTP/1.1 ${error.code} ${error.reason}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  )
}
