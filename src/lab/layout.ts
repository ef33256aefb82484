import { join, resolve } from 'node:path'

/** Where a lab keeps what it knows. Not below /run: nodes have a /run of their own. */
export const labsDirectory = '/var/lib/sallyport-lab'

export const repository = resolve(import.meta.dirname, '../..')

export interface NodePlan {
  readonly name: string
  readonly lastOctet: number
  readonly podCIDRs: readonly string[]
  readonly isControlPlane: boolean
}

/** The nodes of the walkthrough, with the addresses that they have there. */
export const walkthroughNodes: readonly NodePlan[] = [
  { name: 'kind-control-plane', lastOctet: 6, podCIDRs: ['10.244.0.0/24'], isControlPlane: true },
  { name: 'kind-worker', lastOctet: 2, podCIDRs: ['10.244.2.0/24'], isControlPlane: false },
  { name: 'kind-worker2', lastOctet: 5, podCIDRs: ['10.244.1.0/24'], isControlPlane: false },
  { name: 'kind-worker3', lastOctet: 4, podCIDRs: ['10.244.4.0/24'], isControlPlane: false },
  { name: 'kind-worker4', lastOctet: 3, podCIDRs: ['10.244.3.0/24'], isControlPlane: false },
]

/** The same nodes with pods that have an IPv6 address, too. */
export function dualStack(nodes: readonly NodePlan[]): readonly NodePlan[] {
  return nodes.map((node) => ({
    ...node,
    podCIDRs: [...node.podCIDRs, `fd00:10:244:${node.lastOctet.toString(16)}::/64`],
  }))
}

/** Every node's pods, by IPv4. */
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

/** Whose lab a Node belongs to. */
export const labLabel = 'sallyport.dev/lab'
export const kubernetesVersion = 'v1.32.0'

export const isLabName = (text: string): boolean => /^[a-z0-9][a-z0-9-]{0,31}$/.test(text)

/** A lab's folder is taken away with all that is in it, so a name must not lead anywhere else. Throws with what a name is. */
export function labPaths(name: string) {
  if (!isLabName(name))
    throw new Error(
      `${JSON.stringify(name)} is no name for a lab: up to 32 lower-case letters, digits and dashes, and no dash first`,
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

/** Of what a lab keeps, that which its nodes and containers have on their PATH. */
export function keptFolders(name: string): readonly string[] {
  const { bin, nodeBin } = labPaths(name)
  return [bin, nodeBin]
}

/** The label by which a node shows its role, and the taint that keeps workload away. */
export const controlPlane = 'node-role.kubernetes.io/control-plane'
