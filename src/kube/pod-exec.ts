import type { IncomingMessage } from 'node:http'
import { text } from 'node:stream/consumers'
import type { RawData } from 'ws'
import type { KubeClient } from './client.ts'
import { KubeError } from './kube-error.ts'

interface Command {
  readonly namespace: string
  readonly pod: string
  readonly container: string
  readonly words: readonly string[]
}

/** API servers before 1.30 know the older one only. The difference is in the standard input, which is not used here. */
const protocols = ['v5.channel.k8s.io', 'v4.channel.k8s.io']
const channels = { stdout: 1, stderr: 2, status: 3 } as const

/** A command in a pod that failed, with what it said. */
export class CommandFailed extends Error {}

/**
 * Runs a command in a container, and yields its standard output as it comes. Stops the command if the caller stops reading, or when
 * the signal comes: then it throws the signal's reason.
 */
export async function* execInPod(
  client: KubeClient,
  command: Command,
  signal?: AbortSignal,
): AsyncGenerator<Buffer> {
  const { namespace, pod, container, words } = command
  const path = `/api/v1/namespaces/${namespace}/pods/${pod}/exec`
  const query = new URLSearchParams({ container, stdout: 'true', stderr: 'true' })
  for (const word of words) query.append('command', word)
  const socket = await client.connect(path, query, protocols)
  const queue: Buffer[] = []
  const errors: Buffer[] = []
  const ending: { failure?: Error; isOver: boolean; hasStatus: boolean } = { isOver: false, hasStatus: false }
  let wake = (): void => {}
  const end = (failure?: Error): void => {
    if (failure !== undefined) ending.failure ??= failure
    ending.isOver = true
    wake()
  }
  socket.on('message', (data: RawData) => {
    const message = asBuffer(data)
    const payload = message.subarray(1)
    if (message[0] === channels.stdout) queue.push(payload)
    else if (message[0] === channels.stderr) errors.push(payload)
    else if (message[0] === channels.status) {
      ending.hasStatus = true
      const failure = failureIn(payload, Buffer.concat(errors).toString('utf8'))
      if (failure !== undefined) ending.failure = failure
    }
    wake()
  })
  socket.on(
    'unexpected-response',
    (_request: unknown, response: IncomingMessage) => void refused(path, response).then(end),
  )
  socket.on('error', end)
  socket.on('close', () => end())
  const abort = (): void => end(signal?.reason as Error)
  if (signal?.aborted) abort()
  signal?.addEventListener('abort', abort, { once: true })
  try {
    for (;;) {
      for (const chunk of queue.splice(0)) yield chunk
      if (queue.length > 0) continue
      if (ending.isOver) break
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
    if (ending.failure !== undefined) throw ending.failure
    if (!ending.hasStatus) throw new CommandFailed(`the connection to pod ${namespace}/${pod} has ended`)
  } finally {
    signal?.removeEventListener('abort', abort)
    socket.terminate()
  }
}

function asBuffer(data: RawData): Buffer {
  if (Array.isArray(data)) return Buffer.concat(data)
  return Buffer.isBuffer(data) ? data : Buffer.from(data)
}

async function refused(path: string, response: IncomingMessage): Promise<Error> {
  const body = await text(response).catch(() => '')
  const message = body.trim() || `HTTP ${response.statusCode}`
  return new KubeError(`GET ${path}`, response.statusCode ?? 500, readJson(body) ?? { message })
}

function failureIn(status: Buffer, errors: string): Error | undefined {
  const { status: how, message } = (readJson(status.toString('utf8')) ?? {}) as Readonly<
    Record<string, string>
  >
  return how === 'Success' ? undefined : new CommandFailed(errors.trim() || (message ?? 'the command failed'))
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
