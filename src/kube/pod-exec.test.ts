import assert from 'node:assert/strict'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, test } from 'node:test'
import { type WebSocket, WebSocketServer } from 'ws'
import { KubeClient } from './client.ts'
import { execInPod } from './pod-exec.ts'

/** What an API server does with a command: answers on channels, or refuses. */
let serve: (socket: WebSocket, request: IncomingMessage) => void = (socket) => socket.close()
let refusal: string | undefined
const server = createServer()
const sockets = new WebSocketServer({ noServer: true, handleProtocols: () => 'v5.channel.k8s.io' })
server.on('upgrade', (request, socket, head) => {
  if (refusal !== undefined) {
    socket.end(
      `HTTP/1.1 403 Forbidden\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n${refusal}`,
    )
    return
  }
  sockets.handleUpgrade(request, socket, head, (opened) => serve(opened, request))
})
await new Promise<void>((resolve) => {
  server.listen(0, '127.0.0.1', resolve)
})
const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
const client = new KubeClient({ server: url, token: () => 'secret' }, { userAgent: 'sallyport-test' })
after(async () => {
  await client[Symbol.asyncDispose]()
  sockets.close()
  server.close()
  server.closeAllConnections()
})

const send = (socket: WebSocket, channel: number, text: string): void =>
  socket.send(Buffer.concat([Buffer.from([channel]), Buffer.from(text)]))
const command = {
  namespace: 'kube-system',
  pod: 'sallyport-x',
  container: 'sallyport-agent',
  words: ['sallyport', 'ask-agent', '/v1/status'],
}

async function run(): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of execInPod(client, command)) chunks.push(chunk)
  return Buffer.concat(chunks).toString('utf8')
}

test('a command’s output arrives, and the request names pod, container and words', async () => {
  let asked: URL | undefined
  let authorization: string | undefined
  serve = (socket, request) => {
    asked = new URL(request.url ?? '', url)
    authorization = request.headers.authorization
    send(socket, 1, '{"node":')
    send(socket, 2, 'a warning')
    send(socket, 1, '"worker"}')
    send(socket, 3, '{"status":"Success"}')
    socket.close(1000)
  }
  assert.equal(await run(), '{"node":"worker"}')
  assert.equal(asked?.pathname, '/api/v1/namespaces/kube-system/pods/sallyport-x/exec')
  assert.equal(asked.searchParams.get('container'), 'sallyport-agent')
  assert.deepEqual(asked.searchParams.getAll('command'), command.words)
  assert.equal(authorization, 'Bearer secret')
})

test('a command that fails throws what it said', async () => {
  serve = (socket) => {
    send(socket, 2, 'sallyport: no agent runs here\n')
    send(socket, 3, '{"status":"Failure","message":"exit status 1"}')
    socket.close(1000)
  }
  await assert.rejects(run(), /^Error: sallyport: no agent runs here$/)
})

test('a refusal of the API server is its error', async () => {
  refusal = JSON.stringify({ kind: 'Status', code: 403, message: 'pods "sallyport-x" is forbidden' })
  await assert.rejects(run(), /pods "sallyport-x" is forbidden/)
  refusal = undefined
})

test('the connection closes when the reader stops', async () => {
  const closed = new Promise<void>((resolve) => {
    serve = (socket) => {
      socket.on('close', () => resolve())
      send(socket, 1, 'one\n')
    }
  })
  for await (const _chunk of execInPod(client, command)) break
  await closed
})

test('a connection that breaks is a failure, even after some output', async () => {
  serve = (socket) => {
    send(socket, 1, 'half')
    socket.close(1011)
  }
  await assert.rejects(run(), /the connection to pod kube-system\/sallyport-x has ended/)
})
