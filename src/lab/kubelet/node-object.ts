import { release } from 'node:os'
import type { KubeClient, KubeObject } from '../../kube/client.ts'
import { coreResource } from '../../kube/cluster-objects.ts'
import { isAlreadyExists, isNotFound } from '../../kube/kube-error.ts'
import { timestamp } from '../../runtime/timestamp.ts'
import { leaseNamespace, nodeLeases } from '../cluster/node-leases.ts'
import { isSameJson } from '../cluster/same-json.ts'
import { controlPlane, kubernetesVersion, labLabel } from '../layout.ts'
import { findNetwork } from './sandbox/cni.ts'

interface NodeIdentity {
  readonly name: string
  readonly addresses: readonly string[]
  readonly podCIDRs: readonly string[]
  readonly isControlPlane: boolean
  /** The container runtime with its version. */
  readonly runtime: string
  /** Which lab it is of. */
  readonly lab: string
}

const architecture = { x64: 'amd64', arm64: 'arm64' }[process.arch as 'x64'] ?? process.arch
/** The resources that each of the lab's nodes reports. */
export const nodeResources = { cpu: '2', memory: '4Gi', pods: '110' }

/** A kubelet may add a taint when it registers its node, but not the label of the same name. The lab adds the label. */
function nodeObject({ name, podCIDRs, isControlPlane, lab }: NodeIdentity): object {
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: {
      name,
      labels: {
        'beta.kubernetes.io/arch': architecture,
        'beta.kubernetes.io/os': 'linux',
        'kubernetes.io/arch': architecture,
        'kubernetes.io/hostname': name,
        'kubernetes.io/os': 'linux',
        [labLabel]: lab,
      },
    },
    spec: {
      podCIDR: podCIDRs[0],
      podCIDRs,
      ...(isControlPlane ? { taints: [{ key: controlPlane, effect: 'NoSchedule' }] } : {}),
    },
  }
}

/** Ready once a network plugin is installed, as with any container runtime. */
function nodeStatus({ name, addresses, runtime }: NodeIdentity, previous: unknown, now: string): object {
  const isReady = findNetwork() !== undefined
  const conditions = [
    ['MemoryPressure', 'False', 'KubeletHasSufficientMemory', 'kubelet has sufficient memory available'],
    ['DiskPressure', 'False', 'KubeletHasNoDiskPressure', 'kubelet has no disk pressure'],
    ['PIDPressure', 'False', 'KubeletHasSufficientPID', 'kubelet has sufficient PID available'],
    isReady
      ? ['Ready', 'True', 'KubeletReady', 'kubelet is posting ready status']
      : [
          'Ready',
          'False',
          'KubeletNotReady',
          'container runtime network not ready: cni plugin not initialized',
        ],
  ] as const
  const before =
    (previous as { conditions?: { type: string; status: string; lastTransitionTime: string }[] })
      ?.conditions ?? []
  return {
    addresses: [
      ...addresses.map((address) => ({ type: 'InternalIP', address })),
      { type: 'Hostname', address: name },
    ],
    capacity: nodeResources,
    allocatable: nodeResources,
    conditions: conditions.map(([type, status, reason, message]) => {
      const same = before.find((each) => each.type === type && each.status === status)
      return {
        type,
        status,
        reason,
        message,
        lastHeartbeatTime: now,
        lastTransitionTime: same?.lastTransitionTime ?? now,
      }
    }),
    daemonEndpoints: { kubeletEndpoint: { Port: 10250 } },
    nodeInfo: {
      architecture,
      operatingSystem: 'linux',
      kernelVersion: release(),
      kubeletVersion: kubernetesVersion,
      kubeProxyVersion: '',
      osImage: 'Sallyport lab',
      containerRuntimeVersion: runtime,
      machineID: name,
      systemUUID: name,
      bootID: name,
    },
  }
}

/** How often a status is written if only its time has changed. */
const statusEveryMs = 60_000

/** Registers the node if it is missing, updates its status if it has changed, and renews its Lease. */
export async function reportNode(client: KubeClient, identity: NodeIdentity): Promise<void> {
  const now = new Date()
  const node = await findOrRegister(client, identity)
  const status = nodeStatus(identity, node.status, timestamp(now.getTime()))
  if (isWorthWriting(status, node.status, now.getTime()))
    await client
      .resource(coreResource('nodes', false))
      .patch(identity.name, 'merge', { status }, { subresource: 'status', fieldManager: 'kubelet' })
  await renewLease(client, identity.name, now)
}

async function findOrRegister(
  client: KubeClient,
  identity: NodeIdentity,
): Promise<KubeObject & { readonly status?: object }> {
  const nodes = client.resource(coreResource('nodes', false))
  try {
    return await nodes.get(identity.name)
  } catch (error) {
    if (!isNotFound(error)) throw error
    return nodes.create(nodeObject(identity) as KubeObject).catch((problem: unknown) => {
      if (isAlreadyExists(problem)) return nodes.get(identity.name)
      throw problem
    })
  }
}

/** Every watcher of nodes receives their statuses. Only the node controller reads heartbeats. */
function isWorthWriting(status: object, written: object | undefined, nowMs: number): boolean {
  const withoutTimes = (of: object | undefined): unknown =>
    JSON.parse(
      JSON.stringify(of ?? {}, (key, value: unknown) => (key === 'lastHeartbeatTime' ? undefined : value)),
    )
  const heartbeats = (written as { conditions?: { lastHeartbeatTime?: string }[] } | undefined)?.conditions
  const writtenMs = Date.parse(heartbeats?.[0]?.lastHeartbeatTime ?? '') || 0
  return !isSameJson(withoutTimes(status), withoutTimes(written)) || nowMs - writtenMs > statusEveryMs
}

async function renewLease(client: KubeClient, name: string, now: Date): Promise<void> {
  const lease = {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: { name, namespace: leaseNamespace },
    spec: { holderIdentity: name, leaseDurationSeconds: 40, renewTime: microTime(now) },
  }
  await client.resource(nodeLeases).apply(lease as KubeObject, { fieldManager: 'kubelet', force: true })
}

/** Kubernetes' MicroTime has six digits after the second. */
function microTime(time: Date): string {
  return time.toISOString().replace(/(\.\d{3})Z$/, '$1000Z')
}
