import { join, resolve } from 'node:path'

/** The folder of all labs' state. It is not below /run, because nodes have a /run of their own. */
export const labsDirectory = '/var/lib/sallyport-lab'

export const repository = resolve(import.meta.dirname, '../..')

export interface NodePlan {
  readonly name: string
  readonly lastOctet: number
  readonly podCIDRs: readonly string[]
  readonly isControlPlane: boolean
}

/** The nodes of the walkthrough, with their addresses. */
export const walkthroughNodes: readonly NodePlan[] = [
  { name: 'kind-control-plane', lastOctet: 6, podCIDRs: ['10.244.0.0/24'], isControlPlane: true },
  { name: 'kind-worker', lastOctet: 2, podCIDRs: ['10.244.2.0/24'], isControlPlane: false },
  { name: 'kind-worker2', lastOctet: 5, podCIDRs: ['10.244.1.0/24'], isControlPlane: false },
  { name: 'kind-worker3', lastOctet: 4, podCIDRs: ['10.244.4.0/24'], isControlPlane: false },
  { name: 'kind-worker4', lastOctet: 3, podCIDRs: ['10.244.3.0/24'], isControlPlane: false },
]

/** The same nodes, with IPv6 addresses for their pods as well. */
export function dualStack(nodes: readonly NodePlan[]): readonly NodePlan[] {
  return nodes.map((node) => ({
    ...node,
    podCIDRs: [...node.podCIDRs, `fd00:10:244:${node.lastOctet.toString(16)}::/64`],
  }))
}

/** The IPv4 addresses of all pods. */
export const podNetwork = '10.244.0.0/16'

export const network = {
  name: 'kind',
  bridge: 'br-kind',
  ipv4: '172.18.0.0/16',
  ipv6: 'fc00:f853:ccd:e793::/64',
  firstContainerOctet: 7,
} as const

export const ipv4Of = (octet: number): string => `172.18.0.${octet}`
export const ipv6Of = (octet: number): string => `fc00:f853:ccd:e793::${octet.toString(16)}`

export const apiServerPort = 6443

/** The label of a Node with the name of its lab. */
export const labLabel = 'sallyport.dev/lab'
export const kubernetesVersion = 'v1.32.0'

export const isLabName = (text: string): boolean => /^[a-z0-9][a-z0-9-]{0,31}$/.test(text)

/** Throws if the name is not valid. A lab's folder is deleted with everything in it, so a name must not lead to another folder. */
export function labPaths(name: string) {
  if (!isLabName(name))
    throw new Error(
      `${JSON.stringify(name)} is not a valid name for a lab: use up to 32 lower-case letters, digits and dashes, and do not begin with a dash`,
    )
  const directory = join(labsDirectory, name)
  return {
    directory,
    state: join(directory, 'lab.json'),
    logs: join(directory, 'logs'),
    apiServer: join(directory, 'apiserver'),
    tokens: join(directory, 'tokens.csv'),
    joined: join(directory, 'joined.json'),
    relaySocket: join(directory, 'relay.sock'),
    kubeletToken: join(directory, 'kubelet.token'),
    credentials: join(directory, 'credentials'),
    kubeconfig: join(directory, 'kubeconfig'),
    bin: join(directory, 'bin'),
    nodeBin: join(directory, 'node-bin'),
    home: join(directory, 'home'),
  }
}

/** The folders of a lab that its nodes and containers have on their PATH. */
export function keptFolders(name: string): readonly string[] {
  const { bin, nodeBin } = labPaths(name)
  return [bin, nodeBin]
}

/** The label of control plane nodes, and the taint that keeps workload away from them. */
export const controlPlane = 'node-role.kubernetes.io/control-plane'
