import { spawn } from 'node:child_process'
import { createReadStream, existsSync, readFileSync, watch } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { type WebSocket, WebSocketServer } from 'ws'

/** What exec and logs need to know of a container. */
export interface ContainerHandle {
  readonly pid: number
  /** Only what runs can be entered; its log can be read afterwards, too. */
  readonly isAlive: boolean
  readonly env: Readonly<Record<string, string>>
  readonly logFile: string
}

export type FindContainer = (namespace: string, pod: string, container: string) => ContainerHandle | undefined

const protocol = 'v5.channel.k8s.io'
const channel = { stdin: 0, stdout: 1, stderr: 2, status: 3, close: 255 } as const

/** The kubelet's own port: exec, attach and logs, for whoever has the token, which is the API server. */
export function serveStreams(token: string, find: FindContainer): Server {
  const sockets = new WebSocketServer({
    noServer: true,
    handleProtocols: (offered) => (offered.has(protocol) ? protocol : false),
  })
  const server = createServer((request, response) => answerLog(request, response, token, find))
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const target = parseStream(request, token, find)
    if (typeof target === 'number') {
      socket.end(
        `HTTP/1.1 ${target} ${target === 404 ? 'Not Found' : 'Unauthorized'}\r\nconnection: close\r\n\r\n`,
      )
      return
    }
    sockets.handleUpgrade(request, socket, head, (webSocket) =>
      runCommand(webSocket, target.container, target.url),
    )
  })
  return server
}

function parseStream(request: IncomingMessage, token: string, find: FindContainer) {
  if (request.headers.authorization !== `Bearer ${token}`) return 401
  const url = new URL(request.url ?? '/', 'http://kubelet')
  const [, verb, namespace = '', pod = '', name = ''] = url.pathname.split('/')
  const container = find(namespace, pod, name)
  if (container === undefined || (verb !== 'containerLogs' && !container.isAlive)) return 404
  return verb === 'exec' || verb === 'attach' || verb === 'containerLogs' ? { container, url, verb } : 404
}

/** Entering by the container's first process: its mounts, network and hostname. */
function runCommand(webSocket: WebSocket, { pid, env }: ContainerHandle, url: URL): void {
  const words = url.searchParams.getAll('command')
  const hasTty = url.searchParams.get('tty') === 'true'
  const quoted = words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ')
  const inside = hasTty
    ? ['script', '--quiet', '--return', '--flush', '--command', quoted, '/dev/null']
    : words
  const child = spawn('nsenter', [`--target=${pid}`, '--net', '--mount', '--uts', '--', ...inside], {
    env: { ...env, TERM: 'xterm', SHELL: '/bin/sh' },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  const send = (to: number, data: Buffer): void => {
    if (webSocket.readyState === webSocket.OPEN) webSocket.send(Buffer.concat([Buffer.from([to]), data]))
  }
  child.stdout.on('data', (data: Buffer) => send(channel.stdout, data))
  child.stderr.on('data', (data: Buffer) => send(hasTty ? channel.stdout : channel.stderr, data))
  child.stdin.on('error', () => {})
  webSocket.on('message', (message: Buffer) => {
    if (message[0] === channel.stdin) child.stdin.write(message.subarray(1))
    if (message[0] === channel.close && message[1] === channel.stdin && !hasTty) child.stdin.end()
  })
  webSocket.on('close', () => child.kill('SIGKILL'))
  webSocket.on('error', () => child.kill('SIGKILL'))
  if (url.searchParams.get('stdin') !== 'true' && !hasTty) child.stdin.end()
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
  const { logFile } = target.container
  const tail = target.url.searchParams.get('tailLines')
  const text = existsSync(logFile) ? readFileSync(logFile, 'utf8') : ''
  const lines = text.split('\n')
  response.writeHead(200, { 'content-type': 'text/plain' })
  response.write(tail === null ? text : lines.slice(-Number(tail) - 1).join('\n'))
  if (target.url.searchParams.get('follow') !== 'true') {
    response.end()
    return
  }
  let position = Buffer.byteLength(text)
  const watcher = watch(logFile, () => {
    createReadStream(logFile, { start: position }).on('data', (chunk) => {
      position += chunk.length
      response.write(chunk)
    })
  })
  response.once('close', () => watcher.close())
}
