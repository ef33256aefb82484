import { existsSync } from 'node:fs'
import { type IncomingMessage, request } from 'node:http'
import { agentSocketPath } from '../agent/api/local-api.ts'
import { hasKubeconfig } from './kubeconfig/kubeconfig-files.ts'
import { Complaint } from './user-error.ts'

const answerWithinMs = 30_000

/** An agent that was started with another --socket is found by this. */
const socketPath = process.env.SALLYPORT_SOCKET ?? agentSocketPath

/** Are we inside an agent's pod, or on its node? */
function hasAgent(): boolean {
  return existsSync(socketPath)
}

/** Somebody with a kubeconfig asks about the cluster, wherever he is: also on a node, where an agent's socket is, too. */
export function isInAgentPod(): boolean {
  return hasAgent() && !hasKubeconfig()
}

/** What the agent answers to a GET. */
export async function askAgent<T>(path: string): Promise<T> {
  const incoming = await open(path)
  return JSON.parse(await textOf(incoming)) as T
}

/** Server-sent events, each a JSON value, until the agent or this process ends. */
export async function* followAgent<T>(path: string): AsyncGenerator<T> {
  let rest = ''
  try {
    for await (const chunk of (await open(path)).setEncoding('utf8')) {
      const events = (rest + chunk).split('\n\n')
      rest = events.pop() ?? ''
      for (const event of events) if (event.startsWith('data: ')) yield JSON.parse(event.slice(6)) as T
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ECONNRESET') throw error
  }
  throw new Complaint('the agent has ended')
}

async function open(path: string): Promise<IncomingMessage> {
  if (!hasAgent())
    throw new Complaint(
      `no agent runs here (${socketPath} does not exist): run this in an agent's pod, as in kubectl -n kube-system exec -ti POD -- sallyport …`,
    )
  const incoming = await new Promise<IncomingMessage>((resolve, reject) => {
    const outgoing = request({ socketPath, path, timeout: answerWithinMs }, (answer) => {
      outgoing.setTimeout(0)
      resolve(answer)
    })
    outgoing.on('timeout', () => outgoing.destroy(new Error(`no answer within ${answerWithinMs} ms`)))
    outgoing.on('error', (error) =>
      reject(new Complaint(`the agent does not answer on ${socketPath}: ${error.message}`)),
    )
    outgoing.end()
  })
  if (incoming.statusCode === 200) return incoming
  throw new Complaint(
    `the agent refused: ${reasonIn(await textOf(incoming)) ?? `HTTP ${incoming.statusCode}`}`,
  )
}

async function textOf(incoming: IncomingMessage): Promise<string> {
  let text = ''
  for await (const chunk of incoming.setEncoding('utf8')) text += chunk
  return text
}

/** The agent's errors are `{ message }`. */
function reasonIn(text: string): string | undefined {
  try {
    return (JSON.parse(text) as { message?: string }).message
  } catch {
    return undefined
  }
}
