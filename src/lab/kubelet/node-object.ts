import { release } from 'node:os'
import type { KubeClient, KubeObject } from '../../kube/client.ts'
import { coreResource } from '../../kube/cluster-objects.ts'
import { isAlreadyExists, isNotFound } from '../../kube/kube-error.ts'
import { kubernetesVersion } from '../layout.ts'
import { findNetwork } from './cni.ts'

export interface NodeIdentity {
  readonly name: string
  readonly addresses: readonly string[]
  readonly podCIDR: string
  readonly isControlPlane: boolean
}

const architecture = { x64: 'amd64', arm64: 'arm64' }[process.arch as 'x64'] ?? process.arch
const controlPlane = 'node-role.kubernetes.io/control-plane'

function nodeObject({ name, podCIDR, isControlPlane }: NodeIdentity): object {
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
        ...(isControlPlane ? { [controlPlane]: '' } : {}),
      },
    },
    spec: {
      podCIDR,
      podCIDRs: [podCIDR],
      ...(isControlPlane ? { taints: [{ key: controlPlane, effect: 'NoSchedule' }] } : {}),
    },
  }
}

/** Ready once a network plugin is installed, as with any container runtime. */
function nodeStatus({ name, addresses }: NodeIdentity, previous: unknown, now: string): object {
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
    capacity: { cpu: '2', memory: '4Gi', pods: '110' },
    allocatable: { cpu: '2', memory: '4Gi', pods: '110' },
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
      containerRuntimeVersion: 'sallyport-lab://1',
      machineID: name,
      systemUUID: name,
      bootID: name,
    },
  }
}

/** Registers the node where it is not there yet, and says how it is. */
export async function reportNode(client: KubeClient, identity: NodeIdentity): Promise<void> {
  const nodes = client.resource(coreResource('nodes', false))
  const now = new Date().toISOString().replace(/\.\d+/, '')
  let node: KubeObject & { status?: object }
  try {
    node = await nodes.get(identity.name)
  } catch (error) {
    if (!isNotFound(error)) throw error
    node = await nodes.create(nodeObject(identity) as KubeObject).catch((problem: unknown) => {
      if (isAlreadyExists(problem)) return nodes.get(identity.name)
      throw problem
    })
  }
  await nodes.patch(
    identity.name,
    'merge',
    { status: nodeStatus(identity, node.status, now) },
    { subresource: 'status', fieldManager: 'kubelet' },
  )
}
