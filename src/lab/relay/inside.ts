import { readFileSync, writeFileSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { Duplex } from 'node:stream'
import { parseArgs } from 'node:util'
import { Agent, request as httpRequest } from '../../runtime/http.ts'
import { readTokenFile } from '../apiserver/access/access.ts'
import { ensureCertificates } from '../apiserver/http/certificates.ts'
import {
  passUpgrade,
  refuse,
  streamLog,
  streamUpgrade,
  toStatusError,
} from '../apiserver/http/kubelets/kubelet-streams.ts'
import { forwardedHeaders } from './credentials.ts'
import { passRequest, sendRefusal, unanswered } from './forward.ts'
import { PodStreams, parsePodStream } from './pod-streams.ts'

/**
 * The half of the relay inside the lab. It listens where the lab's API server would, with a certificate of the lab. It reaches only the
 * socket of the other half, and has no rights.
 */
const { values: options } = parseArgs({
  options: {
    listen: { type: 'string', default: '' },
    port: { type: 'string', default: '6443' },
    'data-dir': { type: 'string', default: '' },
    socket: { type: 'string', default: '' },
    'token-auth-file': { type: 'string', default: '' },
    'kubelet-token-file': { type: 'string', default: '' },
    /** name=address */
    node: { type: 'string', multiple: true, default: [] },
    'ready-file': { type: 'string', default: '' },
  },
})

process.on('uncaughtException', (error) => console.error(error))

const [adminToken = ''] =
  readTokenFile(options['token-auth-file']).find(([, { name }]) => name === 'admin') ?? []
const agent = new Agent({ keepAlive: true })
const streams = new PodStreams({
  socket: options.socket,
  adminToken,
  kubeletToken: readFileSync(options['kubelet-token-file'], 'utf8').trim(),
  addressByNode: new Map(options.node.map((each) => each.split('=', 2) as [string, string])),
})

function dial(request: IncomingMessage, isUpgrade: boolean) {
  return httpRequest({
    agent,
    socketPath: options.socket,
    method: request.method,
    path: request.url,
    headers: forwardedHeaders(request.headersDistinct, isUpgrade),
  })
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const asked = parsePodStream(request.url)
  const isLog = request.method === 'GET' && asked?.subresource === 'log'
  const call = isLog ? await streams.callFor(asked, request) : undefined
  if (call !== undefined) await streamLog(call, response)
  else passRequest(dial(request, false), request, response)
}

async function upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
  const asked = parsePodStream(request.url)
  /* A user who may read a log must not run commands, so the kubelet's path is built from the request that was authorized. */
  const isStream = asked !== undefined && asked.subresource !== 'log'
  const call = isStream ? await streams.callFor(asked, request) : undefined
  if (call !== undefined) streamUpgrade(call, request, socket, head)
  else passUpgrade(dial(request, true), socket, head, unanswered)
}

const { cert, key } = ensureCertificates(options['data-dir'], [
  options.listen,
  'localhost',
  '127.0.0.1',
  'kubernetes.default.svc',
])
const relay = createServer({ cert, key, keepAliveTimeout: 60_000 }, (request, response) => {
  answer(request, response).catch((error: unknown) => sendRefusal(response, toStatusError(error)))
})
relay.on('upgrade', (request, socket, head) => {
  socket.on('error', () => socket.destroy())
  upgrade(request, socket, head).catch((error: unknown) => refuse(socket, toStatusError(error)))
})
relay.on('clientError', (_error, socket) => socket.destroy())
relay.listen(Number(options.port), options.listen, () => writeFileSync(options['ready-file'], ''))
for (const name of ['SIGTERM', 'SIGINT'] as const) process.on(name, () => process.exit(0))
