import { join, resolve } from 'node:path'

/** Where a lab keeps what it knows. Not below /run: nodes have a /run of their own. */
export const labsDirectory = '/var/lib/sallyport-lab'

export const repository = resolve(import.meta.dirname, '../..')

export interface NodePlan {
  readonly name: string
  readonly lastOctet: number
  readonly podCIDR: string
  readonly isControlPlane: boolean
}

/** The nodes of the walkthrough, with the addresses that they have there. */
export const walkthroughNodes: readonly NodePlan[] = [
  { name: 'kind-control-plane', lastOctet: 6, podCIDR: '10.244.0.0/24', isControlPlane: true },
  { name: 'kind-worker', lastOctet: 2, podCIDR: '10.244.2.0/24', isControlPlane: false },
  { name: 'kind-worker2', lastOctet: 5, podCIDR: '10.244.1.0/24', isControlPlane: false },
  { name: 'kind-worker3', lastOctet: 4, podCIDR: '10.244.4.0/24', isControlPlane: false },
  { name: 'kind-worker4', lastOctet: 3, podCIDR: '10.244.3.0/24', isControlPlane: false },
]

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

export function labPaths(name: string) {
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
    kubeconfig: join(directory, 'kubeconfig'),
    bin: join(directory, 'bin'),
    nodeBin: join(directory, 'node-bin'),
    home: join(directory, 'home'),
  }
}
