import { existsSync } from 'node:fs'
import { request } from 'node:http'
import { agentSocketPath } from '../agent/local-api.ts'
import { Complaint } from './complaint.ts'

/** An agent that was started with another --socket is found by this. */
const socketPath = process.env.SALLYPORT_SOCKET ?? agentSocketPath

/** Are we inside an agent's pod, or on its node? */
export function hasAgent(): boolean {
  return existsSync(socketPath)
}

/** What the agent answers to a GET. */
export function askAgent<T>(path: string): Promise<T> {
  if (!hasAgent())
    throw new Complaint(
      `no agent runs here (${socketPath} does not exist): run this in an agent's pod, as in kubectl -n kube-system exec -ti POD -- sallyport …`,
    )
  return new Promise((resolve, reject) => {
    const outgoing = request({ socketPath, path, timeout: 30_000 }, (incoming) => {
      const chunks: Buffer[] = []
      incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
      incoming.on('end', () => {
        const body = JSON.parse(Buffer.concat(chunks).toString('utf8') || '{}')
        if ((incoming.statusCode ?? 500) < 300) resolve(body as T)
        else reject(new Complaint(`the agent refused: ${String((body as { message?: string }).message)}`))
      })
    })
    outgoing.on('timeout', () => outgoing.destroy(new Error('no answer within 30 s')))
    outgoing.on('error', (error) =>
      reject(new Complaint(`the agent does not answer on ${socketPath}: ${error.message}`)),
    )
    outgoing.end()
  })
}

/** Server-sent events, each a JSON value, until the process ends. */
export async function* followAgent<T>(path: string): AsyncGenerator<T> {
  if (!hasAgent()) throw new Complaint(`no agent runs here: ${socketPath} does not exist`)
  const incoming = await new Promise<AsyncIterable<Buffer>>((resolve, reject) => {
    request({ socketPath, path }, resolve).on('error', reject).end()
  })
  let rest = ''
  for await (const chunk of incoming) {
    rest += chunk.toString('utf8')
    const events = rest.split('\n\n')
    rest = events.pop() ?? ''
    for (const event of events) if (event.startsWith('data: ')) yield JSON.parse(event.slice(6)) as T
  }
}
