import { compatibleNames, defaultNames, type Names, namespace } from '../../install/manifest.ts'
import type { KubeClient, KubeObject } from '../../kube/client.ts'
import { isNotFound } from '../../kube/kube-error.ts'
import { formatColumns } from '../columns.ts'
import { explainPods, listOwnPods } from '../trouble/cluster-trouble.ts'
import { explainDisconnectedNodes } from '../trouble/disconnected-nodes.ts'
import type { TroubledPod } from '../trouble/pod-trouble.ts'

interface WorkloadObject extends KubeObject {
  readonly spec?: { readonly replicas?: number }
  readonly status?: Readonly<Record<string, number>>
}

type PodObject = TroubledPod & {
  readonly spec: { readonly containers: readonly { readonly image: string }[] }
}

interface WorkloadStatus {
  readonly kind: string
  readonly name: string
  readonly desired: number
  readonly ready: number
  readonly available: number
}

export interface ClusterStatus {
  readonly isReady: boolean
  readonly isInstalled: boolean
  readonly workloads: readonly WorkloadStatus[]
  readonly images: readonly string[]
  readonly containers: { readonly running: number; readonly pending: number }
  readonly errors: readonly string[]
}

/** Reads the install under the default names and under the compatible names. */
export async function readClusterStatus(client: KubeClient): Promise<ClusterStatus> {
  const found = (
    await Promise.all([defaultNames, compatibleNames].map((names) => readWorkloads(client, names)))
  ).flat()
  const pods = (await listOwnPods(client)) as readonly PodObject[]
  const errors = [
    ...(found.length === 0 ? ['Sallyport is not installed: run "sallyport install"'] : []),
    ...found
      .filter(({ desired, ready }) => ready < desired)
      .map(
        ({ kind, name, desired, ready }) =>
          `${kind} ${name}: ${desired - ready} of ${desired} pods are not ready`,
      ),
    ...(await explainPods(client, pods)),
    ...(found.length === 0 ? [] : await explainDisconnectedNodes(client)),
  ]
  const running = pods.filter(({ status }) => status?.phase === 'Running').length
  return {
    isInstalled: found.length > 0,
    isReady:
      found.length > 1 &&
      errors.length === 0 &&
      found.every(({ desired, available }) => desired > 0 && available === desired),
    workloads: found,
    images: [...new Set(pods.flatMap(({ spec }) => spec.containers.map(({ image }) => image)))],
    containers: { running, pending: pods.length - running },
    errors,
  }
}

async function readWorkloads(client: KubeClient, names: Names): Promise<WorkloadStatus[]> {
  const read = async (plural: string, name: string): Promise<WorkloadObject | undefined> => {
    try {
      return await client
        .resource<WorkloadObject>({ group: 'apps', version: 'v1', plural, isNamespaced: true })
        .get(name, namespace)
    } catch (error) {
      if (isNotFound(error)) return undefined
      throw error
    }
  }
  const [agent, operator] = await Promise.all([
    read('daemonsets', names.agent),
    read('deployments', names.operator),
  ])
  return [
    ...(agent === undefined
      ? []
      : [
          {
            kind: 'DaemonSet',
            name: names.agent,
            desired: agent.status?.desiredNumberScheduled ?? 0,
            ready: agent.status?.numberReady ?? 0,
            available: agent.status?.numberAvailable ?? 0,
          },
        ]),
    ...(operator === undefined
      ? []
      : [
          {
            kind: 'Deployment',
            name: names.operator,
            desired: operator.spec?.replicas ?? 1,
            ready: operator.status?.readyReplicas ?? 0,
            available: operator.status?.availableReplicas ?? 0,
          },
        ]),
  ]
}

export function formatClusterStatus(status: ClusterStatus): string {
  const component = (kind: string): string => {
    const workload = status.workloads.find((each) => each.kind === kind)
    if (workload === undefined) return 'not installed'
    return workload.ready >= workload.desired && workload.desired > 0
      ? 'OK'
      : `${workload.desired - workload.ready} not ready`
  }
  const rows = [
    ...status.workloads.map(({ kind, name, desired, ready, available }) => [
      kind,
      name,
      `Desired: ${desired}, Ready: ${ready}/${desired}, Available: ${available}/${desired}`,
    ]),
    ['Containers:', '', `Running: ${status.containers.running}, Pending: ${status.containers.pending}`],
    ['Image versions:', '', status.images.join(', ') || 'none'],
    ...status.errors.map((error, index) => [index === 0 ? 'Errors:' : '', '', error]),
  ]
  return [
    `Agents:     ${component('DaemonSet')}`,
    `Operator:   ${component('Deployment')}`,
    '',
    formatColumns(rows),
  ].join('\n')
}
