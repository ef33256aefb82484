import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, readFileSync, readlinkSync } from 'node:fs'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { type WebSocket, WebSocketServer } from 'ws'
import { createServer } from '../../runtime/http.ts'
import { followLog, type LogSource, readText, tailOf } from './containers/container-log.ts'

/** What exec, attach and logs need to know of a container. Only what runs can be entered; its log can be read afterwards, too. */
export interface ContainerHandle extends LogSource {
  /** Undefined once its pod is gone. */
  readonly exec: (words: readonly string[], hasTerminal: boolean) => ChildProcess | undefined
  /** Of the container that ran before the last restart. */
  readonly previousLogFile: string
}

type FindContainer = (namespace: string, pod: string, container: string) => ContainerHandle | undefined

const protocol = 'v5.channel.k8s.io'
const channel = { stdin: 0, stdout: 1, stderr: 2, status: 3, resize: 4, close: 255 } as const

/** The kubelet's port: exec, attach and logs for the API server, which has the token. */
export function serveStreams(token: string, find: FindContainer): Server {
  const sockets = new WebSocketServer({
    noServer: true,
    handleProtocols: (offered) => (offered.has(protocol) ? protocol : false),
  })
  const server = createServer((request, response) => answerLog(request, response, token, find))
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const target = parseStream(request, token, find)
    if (typeof target === 'number') return refuse(request, socket, target)
    sockets.handleUpgrade(request, socket, head, (webSocket) => {
      if (target.verb === 'attach') void showOutput(webSocket, target.container, target.url)
      else runCommand(webSocket, target.container, target.url)
    })
  })
  return server
}

/** kubectl shows the body. */
function refuse(request: IncomingMessage, socket: Duplex, code: 401 | 404): void {
  const [, , namespace, pod, container] = (request.url ?? '').split('?')[0]?.split('/') ?? []
  const [reason, body] =
    code === 404
      ? ['Not Found', `container ${container} of pod ${namespace}/${pod} is not running`]
      : ['Unauthorized', 'the token is not the kubelet’s']
  const head = `HTTP/1.1 ${code} ${reason}\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n`
  socket.end(head + body)
}

function parseStream(request: IncomingMessage, token: string, find: FindContainer) {
  if (request.headers.authorization !== `Bearer ${token}`) return 401 as const
  const url = new URL(request.url ?? '/', 'http://kubelet')
  const [, verb, namespace = '', pod = '', name = ''] = url.pathname.split('/')
  const container = find(namespace, pod, name)
  if (container === undefined || (verb !== 'containerLogs' && !container.isAlive())) return 404 as const
  return verb === 'exec' || verb === 'attach' || verb === 'containerLogs'
    ? { container, url, verb }
    : (404 as const)
}

/** Attach: the output of the container from now on. Its standard input is closed, and a user who wants to type is told so. */
async function showOutput(webSocket: WebSocket, container: ContainerHandle, url: URL): Promise<void> {
  const finish = (status: object): void => {
    if (webSocket.readyState !== webSocket.OPEN) return
    webSocket.send(Buffer.concat([Buffer.from([channel.status]), Buffer.from(JSON.stringify(status))]))
    webSocket.close(1000)
  }
  if (url.searchParams.get('stdin') === 'true') {
    const message = 'containers of the lab have no standard input; use "kubectl exec -it POD -- sh"'
    return finish({ metadata: {}, status: 'Failure', reason: 'InternalError', message })
  }
  const closed = new AbortController()
  webSocket.on('close', () => closed.abort())
  webSocket.on('error', () => closed.abort())
  const { consumed } = readText(container, container.logFile)
  for await (const chunk of followLog(container, consumed, closed.signal))
    webSocket.send(Buffer.concat([Buffer.from([channel.stdout]), chunk]))
  finish(exitStatus(0, []))
}

/** The size of the person's terminal, for the one that the command has; which it opens a moment after its start. */
async function resize(scriptPid: number, message: Buffer): Promise<void> {
  const { Width: columns, Height: rows } = JSON.parse(message.toString()) as { Width: number; Height: number }
  for (let tries = 0; tries < 40; tries++, await sleep(10)) {
    const terminal = terminalOf(scriptPid)
    if (terminal === undefined) continue
    spawn('stty', ['-F', terminal, 'cols', String(columns), 'rows', String(rows)], { stdio: 'ignore' })
    return
  }
}

/** `script` has the master's side of a terminal; its child has the other. */
function terminalOf(scriptPid: number): string | undefined {
  try {
    const child = readFileSync(`/proc/${scriptPid}/task/${scriptPid}/children`, 'utf8').split(' ')[0]
    const device = readlinkSync(`/proc/${child}/fd/0`)
    return device.startsWith('/dev/pts/') ? device : undefined
  } catch {
    return undefined
  }
}

function runCommand(webSocket: WebSocket, container: ContainerHandle, url: URL): void {
  const words = url.searchParams.getAll('command')
  const hasTty = url.searchParams.get('tty') === 'true'
  const child = container.exec(words, hasTty)
  if (child === undefined) {
    webSocket.close(1011, 'the pod is gone')
    return
  }
  const { stdin, stdout, stderr } = child
  const send = (to: number, data: Buffer): void => {
    if (webSocket.readyState === webSocket.OPEN) webSocket.send(Buffer.concat([Buffer.from([to]), data]))
  }
  stdout?.on('data', (data: Buffer) => send(channel.stdout, data))
  stderr?.on('data', (data: Buffer) => send(hasTty ? channel.stdout : channel.stderr, data))
  stdin?.on('error', () => {})
  webSocket.on('message', (message: Buffer) => {
    if (message[0] === channel.stdin) stdin?.write(message.subarray(1))
    if (message[0] === channel.resize && hasTty) void resize(child.pid ?? 0, message.subarray(1))
    if (message[0] === channel.close && message[1] === channel.stdin && !hasTty) stdin?.end()
  })
  /* Some of these processes pass a signal on to the command; none can pass SIGKILL on. */
  const end = (): void => {
    child.kill('SIGTERM')
    setTimeout(() => child.kill('SIGKILL'), 1000).unref()
  }
  webSocket.on('close', end)
  webSocket.on('error', end)
  if (url.searchParams.get('stdin') !== 'true' && !hasTty) stdin?.end()
  const startedMs = Date.now()
  const finish = (status: object): void => {
    /* A client with a terminal sends its size first; a connection that is closed before that is noise on its screen. */
    const waitMs = hasTty ? Math.max(0, 60 - (Date.now() - startedMs)) : 0
    setTimeout(() => {
      send(channel.status, Buffer.from(JSON.stringify(status)))
      webSocket.close(1000)
    }, waitMs)
  }
  child.on('error', (error) =>
    finish({ metadata: {}, status: 'Failure', reason: 'InternalError', message: error.message }),
  )
  child.on('close', (code) => finish(exitStatus(code ?? 137, words)))
}

function exitStatus(code: number, words: readonly string[]): object {
  if (code === 0) return { metadata: {}, status: 'Success' }
  return {
    metadata: {},
    status: 'Failure',
    message: `command terminated with non-zero exit code: ${words.join(' ')}: exit status ${code}`,
    reason: 'NonZeroExitCode',
    details: { causes: [{ reason: 'ExitCode', message: String(code) }] },
  }
}

function answerLog(
  request: IncomingMessage,
  response: ServerResponse,
  token: string,
  find: FindContainer,
): void {
  const target = parseStream(request, token, find)
  if (typeof target === 'number' || target.verb !== 'containerLogs') {
    response.writeHead(typeof target === 'number' ? target : 404).end()
    return
  }
  const { searchParams: asked } = target.url
  const unknown = ['timestamps', 'sinceSeconds', 'sinceTime'].find((name) => asked.has(name))
  if (unknown !== undefined) {
    response.writeHead(400, { 'content-type': 'text/plain' })
    response.end(`the lab does not keep the time of each line: it cannot honour ${unknown}`)
    return
  }
  const isPrevious = asked.get('previous') === 'true'
  const logFile = isPrevious ? target.container.previousLogFile : target.container.logFile
  const { text: log, consumed } = readText(target.container, logFile)
  const tail = asked.get('tailLines')
  const limit = asked.get('limitBytes')
  const shown = (tail === null ? log : tailOf(log, Number(tail))).subarray(0, Number(limit ?? log.length))
  response.writeHead(200, { 'content-type': 'text/plain' })
  response.write(shown)
  if (asked.get('follow') !== 'true' || isPrevious || !existsSync(logFile)) {
    response.end()
    return
  }
  void follow(target.container, consumed, response)
}

async function follow(container: LogSource, from: number, response: ServerResponse): Promise<void> {
  const closed = new AbortController()
  response.once('close', () => closed.abort())
  for await (const chunk of followLog(container, from, closed.signal)) response.write(chunk)
  response.end()
}
