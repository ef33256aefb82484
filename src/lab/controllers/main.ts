import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { KubeClient, type KubeObject, type ResourceName } from '../../kube/client.ts'
import { coreResource } from '../../kube/cluster-objects.ts'
import { isAlreadyExists, isConflict, isNotFound } from '../../kube/kube-error.ts'
import { Mirror } from '../../kube/mirror.ts'
import { systemClock } from '../../runtime/clock.ts'
import { createLog } from '../../runtime/log.ts'
import { Loop } from '../../runtime/reconcile.ts'
import { shutdownSignal } from '../../runtime/shutdown.ts'
import {
  hashLabel,
  isNodeReady,
  isOwnedBy,
  isPodReady,
  type NodeObject,
  type PodObject,
  podOf,
  refusal,
  templateHash,
  type Workload,
} from './workload.ts'

/** What a cluster's scheduler and controller manager do, as far as the lab needs it. */
const { values: options } = parseArgs({
  options: {
    server: { type: 'string', default: '' },
    ca: { type: 'string', default: '' },
    token: { type: 'string', default: '' },
  },
})

/** A node whose kubelet has been silent for so long is not ready. */
const heartbeatGraceMs = 40_000
const lookAgainMs = 5_000

const log = createLog('controllers', 'info')
const signal = shutdownSignal(log)
const client = new KubeClient(
  { server: options.server, ca: readFileSync(options.ca, 'utf8'), token: () => options.token },
  { userAgent: 'lab-controllers' },
)
const apps = (plural: string): ResourceName => ({ group: 'apps', version: 'v1', plural, isNamespaced: true })

function mirror<T extends KubeObject>(name: ResourceName): Mirror<T, T> {
  const onChange = (): void => loop.trigger()
  return new Mirror<T, T>(client.resource<T>(name), {
    clock: systemClock,
    log,
    trim: (object) => object,
    onChange,
  })
}

const pods = client.resource<PodObject>(coreResource('pods', true))
const nodeMirror = mirror<NodeObject>(coreResource('nodes', false))
const podMirror = mirror<PodObject>(coreResource('pods', true))
const daemonSets = mirror<Workload>(apps('daemonsets'))
const deployments = mirror<Workload>(apps('deployments'))
const mirrors = [nodeMirror, podMirror, daemonSets, deployments]

/** Pods that were made and are not in the mirror yet: making them twice would be worse than waiting for them. */
const expected = new Map<string, number>()
const expectationMs = 5_000

const loop = new Loop({ name: 'controllers', run: reconcile, clock: systemClock, log, minIntervalMs: 10 })

async function reconcile(): Promise<void> {
  if (!mirrors.every(({ hasSynced }) => hasSynced)) return
  const nodes = [...nodeMirror.items.values()].sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))
  await judgeNodes(nodes)
  for (const daemonSet of daemonSets.items.values()) await tendDaemonSet(daemonSet, nodes)
  for (const deployment of deployments.items.values()) await tendDeployment(deployment)
  for (const pod of podMirror.items.values()) if (!pod.spec.nodeName) await schedule(pod, nodes)
}

/* ---- nodes ---- */

async function judgeNodes(nodes: readonly NodeObject[]): Promise<void> {
  for (const node of nodes) {
    const ready = node.status?.conditions?.find(({ type }) => type === 'Ready')
    const heardMs = Date.parse(ready?.lastHeartbeatTime ?? '')
    if (ready === undefined || ready.status === 'Unknown' || !(Date.now() - heardMs > heartbeatGraceMs))
      continue
    const conditions = (node.status?.conditions ?? []).map((condition) =>
      condition.type === 'Ready'
        ? {
            ...condition,
            status: 'Unknown',
            reason: 'NodeStatusUnknown',
            message: 'Kubelet stopped posting node status.',
          }
        : condition,
    )
    await client
      .resource(coreResource('nodes', false))
      .patch(
        node.metadata.name,
        'merge',
        { status: { conditions } },
        { subresource: 'status', fieldManager: 'node-controller' },
      )
  }
}

/* ---- workloads ---- */

function podsOf(workload: Workload): PodObject[] {
  return [...podMirror.items.values()].filter((pod) => isOwnedBy(pod, workload))
}

async function create(
  workload: Workload,
  kind: string,
  nodeName: string | undefined,
  slot: string,
): Promise<void> {
  const key = `${workload.metadata.uid}/${slot}`
  if ((expected.get(key) ?? 0) > Date.now()) return
  expected.set(key, Date.now() + expectationMs)
  await pods
    .create(podOf(workload, kind, nodeName) as PodObject, { fieldManager: 'controllers' })
    .catch((error: unknown) => {
      if (!isAlreadyExists(error)) throw error
    })
}

async function remove(pod: PodObject): Promise<void> {
  if (pod.metadata.deletionTimestamp !== undefined) return
  await pods
    .delete(pod.metadata.name, { namespace: pod.metadata.namespace ?? '' })
    .catch((error: unknown) => {
      if (!isNotFound(error)) throw error
    })
}

const hasEnded = (pod: PodObject): boolean =>
  pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed'

/** One pod on each node that it tolerates; one node at a time gets a new template. */
async function tendDaemonSet(daemonSet: Workload, nodes: readonly NodeObject[]): Promise<void> {
  const owned = podsOf(daemonSet)
  const hash = templateHash(daemonSet)
  const wanted = nodes.filter((node) => refusal({ spec: daemonSet.spec.template.spec }, node) === undefined)
  for (const node of wanted) {
    const here = owned.filter(({ spec }) => spec.nodeName === node.metadata.name)
    for (const pod of here.filter(hasEnded)) await remove(pod)
    if (here.length === 0) await create(daemonSet, 'DaemonSet', node.metadata.name, node.metadata.name)
    else expected.delete(`${daemonSet.metadata.uid}/${node.metadata.name}`)
  }
  const names = new Set(wanted.map(({ metadata }) => metadata.name))
  for (const pod of owned) if (!names.has(pod.spec.nodeName ?? '')) await remove(pod)
  const isRolling = owned.some((pod) => pod.metadata.deletionTimestamp !== undefined || !isPodReady(pod))
  const outdated = owned.find((pod) => pod.metadata.labels?.[hashLabel] !== hash)
  if (!isRolling && outdated !== undefined) await remove(outdated)
  await report(apps('daemonsets'), daemonSet, {
    desiredNumberScheduled: wanted.length,
    currentNumberScheduled: owned.length,
    numberReady: owned.filter(isPodReady).length,
    numberAvailable: owned.filter(isPodReady).length,
    updatedNumberScheduled: owned.filter((pod) => pod.metadata.labels?.[hashLabel] === hash).length,
    numberMisscheduled: 0,
    observedGeneration: daemonSet.metadata.generation,
  })
}

/** New pods first, old ones away as the new are ready. */
async function tendDeployment(deployment: Workload): Promise<void> {
  const owned = podsOf(deployment).filter((pod) => pod.metadata.deletionTimestamp === undefined)
  const hash = templateHash(deployment)
  const replicas = deployment.spec.replicas ?? 1
  for (const pod of owned.filter(hasEnded)) await remove(pod)
  const [current, old] = [
    owned.filter((pod) => pod.metadata.labels?.[hashLabel] === hash),
    owned.filter((pod) => pod.metadata.labels?.[hashLabel] !== hash),
  ]
  for (let index = current.length; index < replicas; index++)
    await create(deployment, 'Deployment', undefined, `${hash}/${index}`)
  for (const pod of current.slice(replicas)) await remove(pod)
  if (current.filter(isPodReady).length >= replicas) for (const pod of old) await remove(pod)
  const ready = owned.filter(isPodReady).length
  await report(apps('deployments'), deployment, {
    replicas: owned.length,
    readyReplicas: ready,
    availableReplicas: ready,
    updatedReplicas: current.length,
    observedGeneration: deployment.metadata.generation,
    conditions: [
      {
        type: 'Available',
        status: ready >= replicas ? 'True' : 'False',
        reason: 'MinimumReplicas',
        message: `${ready} of ${replicas} pods are ready`,
      },
    ],
  })
}

async function report(name: ResourceName, workload: Workload, status: object): Promise<void> {
  if (JSON.stringify(workload.status) === JSON.stringify(status)) return
  const { name: object, namespace = '' } = workload.metadata
  await client
    .resource(name)
    .patch(object, 'merge', { status }, { namespace, subresource: 'status', fieldManager: 'controllers' })
    .catch((error: unknown) => {
      if (!isNotFound(error)) throw error
    })
}

/* ---- the scheduler ---- */

/** The node with the fewest pods, of those that may have it; of equals the last by name, as in the walkthrough. */
async function schedule(pod: PodObject, nodes: readonly NodeObject[]): Promise<void> {
  if (pod.metadata.deletionTimestamp !== undefined) return
  const isSystem = pod.spec.hostNetwork ?? false
  const possible = nodes.filter((node) => (isSystem || isNodeReady(node)) && refusal(pod, node) === undefined)
  const load = (node: NodeObject): number =>
    [...podMirror.items.values()].filter(
      (each) =>
        each.spec.nodeName === node.metadata.name &&
        (isSystem ? isSameOwner(each, pod) : !each.spec.hostNetwork),
    ).length
  const [chosen] = possible
    .map((node) => ({ node, load: load(node) }))
    .reverse()
    .sort((a, b) => a.load - b.load)
  if (chosen === undefined) return explainUnschedulable(pod, nodes)
  const { name, namespace = 'default', uid = '' } = pod.metadata
  try {
    await client.json({
      method: 'POST',
      path: pods.path(namespace, name, 'binding'),
      body: {
        apiVersion: 'v1',
        kind: 'Binding',
        metadata: { name, namespace, uid },
        target: { kind: 'Node', name: chosen.node.metadata.name },
      },
    })
  } catch (error) {
    if (!isConflict(error) && !isNotFound(error)) throw error
  }
}

function isSameOwner(a: PodObject, b: PodObject): boolean {
  return a.metadata.ownerReferences?.[0]?.uid === b.metadata.ownerReferences?.[0]?.uid
}

async function explainUnschedulable(pod: PodObject, nodes: readonly NodeObject[]): Promise<void> {
  const reasons = nodes.map((node) => refusal(pod, node) ?? 'node(s) were not ready')
  const counted = [...new Set(reasons)].map(
    (reason) => `${reasons.filter((each) => each === reason).length} ${reason}`,
  )
  const message = `0/${nodes.length} nodes are available: ${counted.join(', ')}.`
  const conditions = [{ type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message }]
  if (JSON.stringify(pod.status?.conditions) === JSON.stringify(conditions)) return
  const { name, namespace = 'default' } = pod.metadata
  await pods.patch(
    name,
    'merge',
    { status: { conditions } },
    { namespace, subresource: 'status', fieldManager: 'scheduler' },
  )
}

const timer = setInterval(() => loop.trigger(), lookAgainMs)
await Promise.all([loop.start(signal), ...mirrors.map((each) => each.start(signal))])
clearInterval(timer)
process.exit()
