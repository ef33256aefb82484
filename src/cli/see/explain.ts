import { readFileSync } from 'node:fs'
import { parseAllDocuments } from 'yaml'
import type { ExplainRequest, Explanation, WayOut } from '../../agent/api/explain/explanation.ts'
import { kinds } from '../../api/kinds.ts'
import type { KubeClient, KubeObject } from '../../kube/client.ts'
import { coreResource } from '../../kube/cluster-objects.ts'
import { isNotFound } from '../../kube/kube-error.ts'
import { UserError } from '../user-error.ts'
import { agentOf, type ReachedAgent } from './agents.ts'
import { storyOfOthers } from './explained-service.ts'

/**
 * Asks the agent of the pod's node, and the gateway for its way out. With a `client`, it also finds Services that kube-proxy translates, and
 * asks for the endpoint outside that the packet could get.
 */
export async function explain(
  agents: readonly ReachedAgent[],
  node: string,
  request: ExplainRequest,
  client?: KubeClient,
): Promise<Explanation> {
  const said = await askWithWayOut(agents, node, request)
  const service = client === undefined ? undefined : await storyOfOthers(client, said)
  if (service === undefined) return said
  const { endpoint, translatedBy } = service
  if (endpoint === undefined || translatedBy !== 'kube-proxy' || said.servicesBy !== 'kube-proxy')
    return { ...said, service }
  const { address: to, port } = endpoint
  return { ...said, service, afterService: await askWithWayOut(agents, node, { ...request, to, port }) }
}

async function askWithWayOut(
  agents: readonly ReachedAgent[],
  node: string,
  request: ExplainRequest,
): Promise<Explanation> {
  const said = await agentOf(agents, node).ask<Explanation>('/v1/explain', request)
  const { egressIp, holder } = said.program
  const gateway = agents.find((agent) => agent.node === holder)
  if (gateway === undefined || egressIp === undefined) return said
  const to = said.service?.endpoint?.address ?? said.flow.destination
  return {
    ...said,
    wayOut: await gateway.ask<WayOut>(`/v1/way-out?${new URLSearchParams({ from: egressIp, to })}`),
  }
}

/** The node on which the pod runs. */
export async function nodeOfPod(client: KubeClient, namespace: string, name: string): Promise<string> {
  const pods = client.resource<KubeObject & { readonly spec?: { readonly nodeName?: string } }>(
    coreResource('pods', true),
  )
  const pod = await pods.get(name, namespace).catch((error: unknown) => {
    if (isNotFound(error)) throw new UserError(`there is no pod ${name} in namespace ${namespace}`)
    throw error
  })
  if (pod.spec?.nodeName === undefined) throw new UserError(`pod ${namespace}/${name} is on no node yet`)
  return pod.spec.nodeName
}

const policyKinds: readonly string[] = [
  kinds.ciliumEgressGatewayPolicy.kind,
  kinds.isovalentEgressGatewayPolicy.kind,
]

/** The policies in a YAML or JSON file. */
export function readPolicies(path: string): readonly object[] {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    throw new UserError(`${path} cannot be read: ${(error as Error).message}`)
  }
  const documents = parseAllDocuments(text).map((document) => {
    const [mistake] = document.errors
    if (mistake !== undefined) throw new UserError(`${path}: ${mistake.message}`)
    return document.toJS() as unknown
  })
  const objects = documents.flatMap((each) => {
    const items = (each as { readonly items?: unknown } | null)?.items
    return Array.isArray(items) ? items : each === null ? [] : [each]
  }) as readonly Partial<KubeObject>[]
  for (const { kind = 'an object without a kind', metadata } of objects)
    if (!policyKinds.includes(kind) || typeof metadata?.name !== 'string')
      throw new UserError(
        `${path} has ${kind}: it must have policies only, with names (${policyKinds.join(', ')})`,
      )
  if (objects.length === 0) throw new UserError(`${path} has no policy`)
  return objects as readonly object[]
}
