import { namespace } from '../../install/manifest.ts'
import type { KubeClient } from '../../kube/client.ts'
import { KubeError } from '../../kube/kube-error.ts'
import { CommandFailed, execInPod } from '../../kube/pod-exec.ts'
import { askAgent, followAgent } from '../agent-socket.ts'
import { listOwnPods } from '../trouble/cluster-trouble.ts'
import { UserError } from '../user-error.ts'

/** One agent that can be asked. */
export interface ReachedAgent {
  readonly node: string
  /** The signal ends the question. */
  ask<T>(path: string, body?: unknown, signal?: AbortSignal): Promise<T>
  /** Each value as it comes. The signal ends the question. */
  follow<T>(path: string, isEndless: boolean, signal?: AbortSignal): AsyncGenerator<T>
}

const agentContainers: readonly string[] = ['sallyport-agent', 'cilium-agent']

interface AgentPod {
  readonly metadata: { readonly name: string }
  readonly spec: { readonly nodeName?: string; readonly containers: readonly { readonly name: string }[] }
  readonly status?: { readonly phase?: string }
}

/** Lists the running agents of the cluster. To ask one, the CLI runs a command in its pod, with the rights of the kubeconfig. */
export async function listAgents(client: KubeClient): Promise<readonly ReachedAgent[]> {
  const pods = (await listOwnPods(client)) as unknown as readonly AgentPod[]
  return pods
    .filter(({ status }) => status?.phase === 'Running')
    .flatMap(({ metadata, spec }) => {
      const container = spec.containers.find(({ name }) => agentContainers.includes(name))?.name
      if (container === undefined || spec.nodeName === undefined) return []
      return [throughPod(client, spec.nodeName, metadata.name, container)]
    })
    .toSorted((a, b) => (a.node < b.node ? -1 : 1))
}

function throughPod(client: KubeClient, node: string, pod: string, container: string): ReachedAgent {
  const lines = async function* (words: readonly string[], signal?: AbortSignal): AsyncGenerator<string> {
    const command = { namespace, pod, container, words: ['sallyport', 'ask-agent', ...words] }
    let rest = ''
    try {
      for await (const chunk of execInPod(client, command, signal)) {
        const parts = (rest + chunk.toString('utf8')).split('\n')
        rest = parts.pop() ?? ''
        yield* parts
      }
    } catch (error) {
      throw explained(error, node, pod)
    }
    if (rest !== '') yield rest
  }
  return {
    node,
    async ask<T>(path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
      const given = body === undefined ? [] : ['--body', JSON.stringify(body)]
      const answer: string[] = []
      for await (const line of lines([path, ...given], signal)) answer.push(line)
      return JSON.parse(answer.join('\n')) as T
    },
    async *follow<T>(path: string, _isEndless: boolean, signal?: AbortSignal): AsyncGenerator<T> {
      for await (const line of lines([path, '--stream'], signal)) yield JSON.parse(line) as T
    },
  }
}

function explained(error: unknown, node: string, pod: string): unknown {
  if (error instanceof CommandFailed)
    return new UserError(
      /unknown command/.test(error.message)
        ? `the agent on node ${node} is of an older version: upgrade it with "sallyport upgrade"`
        : `node ${node}: ${error.message.replace(/^sallyport: /, '')}`,
    )
  if (error instanceof KubeError && error.code === 403)
    return new UserError(
      `you may not run commands in pod ${namespace}/${pod}: ask for the right to create pods/exec in the namespace ${namespace}`,
    )
  return error
}

/** The agent beside which this command runs. It knows its own node only. */
export async function localAgent(): Promise<ReachedAgent> {
  const { node } = await askAgent<{ readonly node: string }>('/v1/status')
  return { node, ask: askAgent, follow: followAgent }
}

export function agentOf(agents: readonly ReachedAgent[], node: string): ReachedAgent {
  const found = agents.find((agent) => agent.node === node)
  if (found !== undefined) return found
  throw new UserError(
    agents.length === 0
      ? 'no agent runs in this cluster: run "sallyport status"'
      : `no agent can be asked on node ${node}: run this command with a kubeconfig of the cluster, and see "sallyport status"`,
  )
}
