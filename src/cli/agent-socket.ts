import { existsSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { agentSocketPath } from '../agent/api/local-api.ts'
import { request } from '../runtime/http.ts'
import { hasKubeconfig } from './kubeconfig/kubeconfig-files.ts'
import { UserError } from './user-error.ts'

const answerWithinMs = 30_000

/** SALLYPORT_SOCKET names the socket of an agent that was started with another --socket. */
const socketPath = process.env.SALLYPORT_SOCKET ?? agentSocketPath

/** Whether this process runs in an agent's pod or on its node. */
function hasAgent(): boolean {
  return existsSync(socketPath)
}

/** A user with a kubeconfig asks about the cluster, even on a node that has an agent's socket. */
export function isInAgentPod(): boolean {
  return hasAgent() && !hasKubeconfig()
}

/** The agent's answer to a GET request, or to a POST request with a body. */
export async function askAgent<T>(path: string, body?: unknown): Promise<T> {
  const incoming = await open(path, body)
  return JSON.parse(await textOf(incoming)) as T
}

/** The agent's server-sent events, each a JSON value, until the agent or this process stops, or has sent all. */
export async function* followAgent<T>(path: string, isEndless = true): AsyncGenerator<T> {
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
  if (!isEndless) return
  throw new UserError('the agent has stopped: run the command again when the agent is back')
}

async function open(path: string, body?: unknown): Promise<IncomingMessage> {
  if (!hasAgent())
    throw new UserError(
      `no agent runs here (${socketPath} does not exist): run this command in the pod of a node's agent. To find the pod of NODE: kubectl -n kube-system get pods -l k8s-app=sallyport --field-selector spec.nodeName=NODE. Then: kubectl -n kube-system exec -ti POD -- sallyport …`,
    )
  const incoming = await new Promise<IncomingMessage>((resolve, reject) => {
    const method = body === undefined ? 'GET' : 'POST'
    const outgoing = request({ socketPath, path, method, timeout: answerWithinMs }, (answer) => {
      outgoing.setTimeout(0)
      resolve(answer)
    })
    outgoing.on('timeout', () => outgoing.destroy(new Error(`no answer within ${answerWithinMs} ms`)))
    outgoing.on('error', (error) =>
      reject(new UserError(`the agent does not answer on ${socketPath}: ${error.message}`)),
    )
    outgoing.end(body === undefined ? undefined : JSON.stringify(body))
  })
  if (incoming.statusCode === 200) return incoming
  throw new UserError(
    `the agent answered with an error: ${messageIn(await textOf(incoming)) ?? `HTTP ${incoming.statusCode}`}`,
  )
}

async function textOf(incoming: IncomingMessage): Promise<string> {
  let text = ''
  for await (const chunk of incoming.setEncoding('utf8')) text += chunk
  return text
}

/** The agent answers an error as `{ message }`. */
function messageIn(text: string): string | undefined {
  try {
    return (JSON.parse(text) as { message?: string }).message
  } catch {
    return undefined
  }
}
