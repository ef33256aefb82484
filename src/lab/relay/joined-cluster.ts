import { existsSync, readFileSync } from 'node:fs'
import { isAllowed } from '../../kube/access-review.ts'
import { KubeClient, type KubeObject } from '../../kube/client.ts'
import { coreResource } from '../../kube/cluster-objects.ts'
import { isNotFound, KubeError } from '../../kube/kube-error.ts'
import { leaseNamespace, nodeLeases } from '../cluster/node-leases.ts'
import type { JoinedCluster, LabState } from '../lab-state.ts'
import { labLabel, labPaths, type NodePlan } from '../layout.ts'
import { nodesGroup } from './credentials.ts'
import { clusterAccessOf, type JoinedAccess, parseKubeconfig } from './kubeconfig.ts'

/** Whether the lab starts its controllers: only if the cluster runs none, always, or never. */
export type ControllersChoice = 'auto' | 'lab' | 'none'

interface JoinOptions {
  readonly kubeconfig: string
  readonly context?: string | undefined
  readonly controllers: ControllersChoice
  readonly nodes: readonly NodePlan[]
}

const userAgent = 'sallyport-lab'
const nodes = coreResource('nodes', false)
const pods = coreResource('pods', true)

/** Controllers renew their lease every two seconds, and lose it after fifteen. */
const freshMs = 60_000
const controllerLeases = ['kube-controller-manager', 'kube-scheduler']

const kubeletRights = {
  enough: 'the lab’s kubelets act with the rights of their nodes',
  noImpersonation: 'the lab’s kubelets act as the kubeconfig’s user, who may not impersonate nodes',
} as const

/** Reads the kubeconfig and checks whether the lab can join its cluster. It changes nothing. */
export async function findJoinedCluster(
  options: JoinOptions,
): Promise<{ access: JoinedAccess; joined: JoinedCluster; found: readonly string[] }> {
  const { kubeconfig, context } = options
  if (!existsSync(kubeconfig)) throw new Error(`there is no kubeconfig at ${kubeconfig}`)
  const parsed = parseKubeconfig(readFileSync(kubeconfig, 'utf8'), kubeconfig, context)
  if ('issues' in parsed)
    throw new Error(`the kubeconfig ${kubeconfig} cannot be used: ${parsed.issues.join('; ')}`)
  const { access } = parsed
  await using client = new KubeClient(clusterAccessOf(access), { userAgent, timeoutMs: 10_000 })
  try {
    await refuseTakenNames(client, access.server, options.nodes)
    const asNodes = await nodeRights(client, options.nodes)
    const running = await runningControllers(client)
    const needsControllers =
      options.controllers === 'lab' || (options.controllers === 'auto' && running.length === 0)
    return {
      access,
      joined: { server: access.server, impersonatesNodes: asNodes === 'enough', needsControllers },
      found: [
        kubeletRights[asNodes],
        running.length === 0
          ? `the cluster runs no controllers, and the lab starts ${needsControllers ? 'its own' : 'none'}`
          : `the cluster runs ${running.join(' and ')}, and the lab starts ${needsControllers ? 'its own controllers as well' : 'no controllers'}`,
      ],
    }
  } catch (error) {
    if (error instanceof KubeError || !isFromNetwork(error)) throw error
    throw new Error(`the API server ${access.server} of the kubeconfig does not answer: ${error.message}`, {
      cause: error,
    })
  }
}

function isFromNetwork(error: unknown): error is Error {
  return error instanceof Error && 'code' in error
}

/** A Node that already exists is in use, for example by a lab on another machine. */
async function refuseTakenNames(
  client: KubeClient,
  server: string,
  plans: readonly NodePlan[],
): Promise<void> {
  const wanted = new Set(plans.map(({ name }) => name))
  const { items } = await client.resource(nodes).list()
  const taken = items.filter(({ metadata }) => wanted.has(metadata.name))
  if (taken.length === 0) return
  const each = taken.map(({ metadata: { name, labels } }) => {
    const lab = labels?.[labLabel]
    return lab === undefined
      ? `${name}, which belongs to no lab`
      : `${name} of a lab named ${lab} (if that lab no longer exists, run kubectl delete node -l ${labLabel}=${lab})`
  })
  throw new Error(`${server} already has nodes with the names of the lab's nodes: ${each.join('; ')}`)
}

/** Whether the kubeconfig's user may impersonate nodes. Then the lab's kubelets have the rights of any kubelet. */
async function nodeRights(
  client: KubeClient,
  plans: readonly NodePlan[],
): Promise<keyof typeof kubeletRights> {
  const users = plans.map(({ name }) => `system:node:${name}`)
  for (const [resource, name] of [...users.map((user) => ['users', user] as const), ['groups', nodesGroup]])
    if (!(await isAllowed(client, { verb: 'impersonate', resource, name }))) return 'noImpersonation'
  return 'enough'
}

/** The controllers with a current lease, by the API server's clock, because this machine's clock may differ. */
async function runningControllers(client: KubeClient): Promise<readonly string[]> {
  const running: string[] = []
  for (const name of controllerLeases) {
    const path = `/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/${name}`
    const answer = await client.send({ method: 'GET', path })
    const body = (await answer.body.json()) as { message?: string; spec?: { renewTime?: string } }
    if (answer.statusCode === 404) continue
    if (answer.statusCode !== 200) throw new KubeError(`GET ${path}`, answer.statusCode, body)
    const nowMs = Date.parse(String(answer.headers.date ?? '')) || Date.now()
    if (nowMs - Date.parse(body.spec?.renewTime ?? '') < freshMs) running.push(name)
  }
  return running
}

/** Deletes the lab's nodes from the cluster. The lab's processes have ended, so that nothing registers the nodes again. */
export async function leaveJoinedCluster(state: LabState): Promise<void> {
  const { joined } = labPaths(state.name)
  if (state.joined === undefined || !existsSync(joined)) return
  const access = JSON.parse(readFileSync(joined, 'utf8')) as JoinedAccess
  await using client = new KubeClient(clusterAccessOf(access), { userAgent, timeoutMs: 10_000 })
  try {
    for (const { name } of state.nodes) await removeNode(client, name, state.name)
  } catch (cause) {
    throw new Error(
      `the lab has been removed, but its nodes may still be registered at ${access.server}. Run kubectl delete node -l ${labLabel}=${state.name}. The cause: ${cause instanceof Error ? cause.message : cause}`,
      { cause },
    )
  }
}

/** Deletes the node first, so that no controller starts pods on it. Then it deletes the pods, which no kubelet will. */
async function removeNode(client: KubeClient, name: string, lab: string): Promise<void> {
  const node = await client.resource(nodes).get(name).catch(ignoreMissing)
  if (node?.metadata.labels?.[labLabel] !== lab) return
  await client.resource(nodes).delete(name).catch(ignoreMissing)
  const { items } = await client.resource<KubeObject>(pods).list({ fieldSelector: `spec.nodeName=${name}` })
  for (const { metadata } of items) {
    const { namespace = 'default' } = metadata
    await client
      .resource(pods)
      .delete(metadata.name, { namespace, gracePeriodSeconds: 0 })
      .catch(ignoreMissing)
  }
  await client.resource(nodeLeases).delete(name, { namespace: leaseNamespace }).catch(ignoreMissing)
}

function ignoreMissing(error: unknown): undefined {
  if (!isNotFound(error)) throw error
}
