import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { attemptOf } from '../attempt.ts'
import { parseTarget, type Target } from '../request.ts'
import type { ApiServer } from '../server.ts'
import { badRequest, notFound, StatusError } from '../status-error.ts'
import {
  defaultKubeletPort,
  type KubeletCall,
  kubeletPath,
  refuse,
  type StreamSubresource,
  streamLog,
  streamUpgrade,
  toStatusError,
} from './kubelet-streams.ts'

/** The kubelet that runs the pod, and the request for it. */
function callFor(server: ApiServer, target: Target, subresource: StreamSubresource, url: URL): KubeletCall {
  const { namespace = '', name = '' } = target
  const pod = server.store.get('/pods', `${namespace}/${name}`)
  if (pod === undefined) throw notFound('', 'pods', name)
  const nodeName = String(pod.spec?.nodeName ?? '')
  const node = server.store.get('/nodes', nodeName)
  if (node === undefined) throw badRequest(`pod ${name} does not have a host assigned`)
  const path = kubeletPath(subresource, pod, url)
  const addresses = (node.status?.addresses ?? []) as { type: string; address: string }[]
  const host = addresses.find(({ type }) => type === 'InternalIP')?.address
  if (host === undefined) throw new StatusError(500, 'InternalError', `node ${nodeName} has no InternalIP`)
  const endpoints = node.status?.daemonEndpoints as { kubeletEndpoint?: { Port?: number } } | undefined
  const port = endpoints?.kubeletEndpoint?.Port ?? defaultKubeletPort
  return { host, port, path, token: server.kubeletToken }
}

export async function answerLog(
  server: ApiServer,
  target: Target,
  url: URL,
  response: ServerResponse,
): Promise<void> {
  await streamLog(callFor(server, target, 'log', url), response)
}

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
    streamUpgrade(callFor(server, target, target.subresource, url), request, socket, head)
  } catch (error) {
    refuse(socket, toStatusError(error))
  }
}
