import {
  type ClientRequest,
  request as httpRequest,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http'
import type { Duplex } from 'node:stream'
import type { ApiObject } from '../../objects/api-object.ts'
import { badRequest, StatusError, statusBody } from '../status-error.ts'

/** A request to a kubelet, at the port whose token only API servers have. */
export interface KubeletCall {
  readonly host: string
  readonly port: number
  readonly path: string
  readonly token: string
  /** How long until its first word; by default 10 s. */
  readonly timeoutMs?: number
}

export const defaultKubeletPort = 10250

export type StreamSubresource = 'exec' | 'attach' | 'log'

const kubeletVerbs = { exec: 'exec', attach: 'attach', log: 'containerLogs' } as const

/** Refuses containers that the pod does not have. */
export function kubeletPath(
  subresource: StreamSubresource,
  pod: ApiObject,
  { search, searchParams }: URL,
): string {
  const { namespace = '', name } = pod.metadata
  const container = chooseContainer(pod, searchParams.get('container'))
  return `/${kubeletVerbs[subresource]}/${namespace}/${name}/${container}${search}`
}

function chooseContainer(pod: ApiObject, asked: string | null): string {
  const names = ((pod.spec?.containers ?? []) as { name: string }[]).map(({ name }) => name)
  const chosen =
    asked ?? pod.metadata.annotations?.['kubectl.kubernetes.io/default-container'] ?? names[0] ?? ''
  if (!names.includes(chosen))
    throw badRequest(`container ${chosen} is not valid for pod ${pod.metadata.name}`)
  return chosen
}

/** The kernel of a frozen node accepts connections, but no process answers. */
function dial(
  { host, port, path, token, timeoutMs = 10_000 }: KubeletCall,
  headers: Record<string, string | string[] | undefined>,
): ClientRequest {
  const outgoing = httpRequest({
    host,
    port,
    path,
    /* Each request uses a new connection, because the other end may close an idle one at this moment. */
    agent: false,
    headers: { ...headers, host: `${host}:${port}`, authorization: `Bearer ${token}` },
  })
  const timer = setTimeout(() => outgoing.destroy(new Error('i/o timeout')), timeoutMs)
  for (const event of ['response', 'upgrade', 'close']) outgoing.once(event, () => clearTimeout(timer))
  return outgoing
}

function unreachable({ host, port }: KubeletCall, error: Error): StatusError {
  return new StatusError(
    500,
    'InternalError',
    `error dialing backend: dial tcp ${host}:${port}: ${error.message}`,
  )
}

export function streamLog(call: KubeletCall, response: ServerResponse): Promise<void> {
  return new Promise((resolve, reject) => {
    const outgoing = dial(call, {})
    outgoing.on('error', (error) => reject(unreachable(call, error)))
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

/** exec and attach: the kubelet speaks the protocol. */
export function streamUpgrade(
  call: KubeletCall,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): void {
  passUpgrade(dial(call, request.headers), socket, head, (error) => unreachable(call, error))
}

/** The upgraded connection is passed on byte for byte, and so is a refusal to upgrade. */
export function passUpgrade(
  outgoing: ClientRequest,
  socket: Duplex,
  head: Buffer,
  toStatus: (error: Error) => StatusError,
): void {
  outgoing.on('error', (error) => refuse(socket, toStatus(error)))
  outgoing.on('response', (incoming) => {
    const type = incoming.headers['content-type'] ?? 'application/json'
    socket.write(
      `HTTP/1.1 ${incoming.statusCode} ${incoming.statusMessage}\r\ncontent-type: ${type}\r\nconnection: close\r\n\r\n`,
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

export function refuse(socket: Duplex, error: StatusError): void {
  const body = JSON.stringify(statusBody(error))
  socket.end(
    `HTTP/1.1 ${error.code} ${error.reason}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  )
}

/** Whatever went wrong, as a client of Kubernetes reads it. */
export function toStatusError(error: unknown): StatusError {
  return error instanceof StatusError ? error : new StatusError(500, 'InternalError', String(error))
}
