import { kinds } from '../../src/api/kinds.ts'
import type { KubeClient, KubeObject, ResourceName } from '../../src/kube/client.ts'
import { clusterResource, coreResource } from '../../src/kube/cluster-objects.ts'
import { isAlreadyExists, isConflict, isNotFound } from '../../src/kube/kube-error.ts'

/** The size of the cluster. */
export interface Crowd {
  readonly nodes: number
  readonly pods: number
  readonly policies: number
  readonly gateways: number
}

/** A cluster with this many nodes, 50 pods on each node, one policy per node, and every fifth node a gateway. */
export function crowdOf(nodes: number): Crowd {
  return { nodes, pods: nodes * 50, policies: nodes, gateways: Math.max(1, Math.round(nodes / 5)) }
}

const range = (count: number): number[] => Array.from({ length: count }, (_, index) => index)
const addressOf = (prefix: string, index: number): string => `${prefix}.${(index >> 8) & 255}.${index & 255}`
const nodeName = (index: number): string => `crowd-${String(index).padStart(4, '0')}`

/** The time of a node's last heartbeat. It is in the future, so Kubernetes counts the node as alive for the whole run. */
const always = '2099-01-01T00:00:00.000000Z'

const leases: ResourceName = {
  group: 'coordination.k8s.io',
  version: 'v1',
  plural: 'leases',
  isNamespaced: true,
}
const pods = coreResource('pods', true)
const nodes = coreResource('nodes', false)
export const egressNodes = clusterResource(kinds.egressNode)
export const policies = clusterResource(kinds.isovalentEgressGatewayPolicy)

/** Runs many requests at a time, and repeats a request that met a conflict. Reports its progress to `tell`. */
export async function forEach(
  what: string,
  count: number,
  work: (index: number) => Promise<unknown>,
  tell: (line: string) => void,
): Promise<void> {
  let next = 0
  const worker = async (): Promise<void> => {
    for (let index = next++; index < count; index = next++) {
      if (index > 0 && index % 10_000 === 0) tell(`${index} of ${count} ${what}`)
      await work(index).catch((error: unknown) => {
        if (!isAlreadyExists(error)) throw error
      })
    }
  }
  await Promise.all(range(32).map(worker))
  tell(`${count} ${what}`)
}

/** Creates everything except the pods. */
export async function gather(client: KubeClient, crowd: Crowd, tell: (line: string) => void): Promise<void> {
  const create = (resource: ResourceName, object: object): Promise<unknown> =>
    client.resource(resource).create(object as KubeObject)
  await forEach('leases', crowd.nodes, (index) => create(leases, leaseObject(index)), tell)
  await forEach(
    'nodes',
    crowd.nodes,
    async (index) => {
      await create(nodes, nodeObject(index, index < crowd.gateways))
      await client
        .resource(nodes)
        .patch(nodeName(index), 'merge', { status: nodeStatus(index) }, { subresource: 'status' })
    },
    tell,
  )
  await forEach('EgressNodes with a status', crowd.nodes, (index) => describe(client, index), tell)
  await forEach(
    'policies',
    crowd.policies,
    (index) => create(policies, policyObject(`crowd-${index}`, index)),
    tell,
  )
}

export async function gatherPods(
  client: KubeClient,
  crowd: Crowd,
  tell: (line: string) => void,
): Promise<void> {
  const create = (object: object): Promise<unknown> => client.resource(pods).create(object as KubeObject)
  await forEach(
    'pods',
    crowd.pods,
    async (index) => {
      await create(podObject(index, crowd.nodes))
      await client
        .resource(pods)
        .patch(
          `crowd-${index}`,
          'merge',
          { status: podStatus(index) },
          { subresource: 'status', namespace: 'default' },
        )
    },
    tell,
  )
}

/** Replaces every pod by another one, as watchers of pods see it. */
export async function rollOut(client: KubeClient, crowd: Crowd, tell: (line: string) => void): Promise<void> {
  const version = { metadata: { labels: { version: 'next' } } }
  await forEach(
    'pods rolled out',
    crowd.pods,
    (index) => client.resource(pods).patch(`crowd-${index}`, 'merge', version, { namespace: 'default' }),
    tell,
  )
}

function leaseObject(index: number): object {
  return {
    metadata: { name: nodeName(index), namespace: 'kube-node-lease' },
    spec: { holderIdentity: nodeName(index), renewTime: always, leaseDurationSeconds: 40 },
  }
}

function nodeObject(index: number, isGateway: boolean): object {
  return {
    metadata: { name: nodeName(index), labels: isGateway ? { 'crowd-gw': String((index % 9) + 1) } : {} },
    spec: { podCIDRs: [`10.${128 + (index >> 8)}.${index & 255}.0/24`] },
  }
}

function nodeStatus(index: number): object {
  return {
    addresses: [{ type: 'InternalIP', address: addressOf('172.19', index + 1) }],
    conditions: [{ type: 'Ready', status: 'True', reason: 'KubeletReady', message: '' }],
  }
}

/** Writes the status that the agent of this node would write. The operator creates the object. */
async function describe(client: KubeClient, index: number): Promise<void> {
  const address = addressOf('172.19', index + 1)
  const status = {
    interfaces: [{ name: 'eth0', addresses: [address], isDefaultRoute: true }],
    version: 'crowd',
  }
  for (;;)
    try {
      await client
        .resource(egressNodes)
        .patch(nodeName(index), 'merge', { status }, { subresource: 'status' })
      return
    } catch (error) {
      if (!isNotFound(error) && !isConflict(error)) throw error
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
}

/** A tenth of the policies use the real gateways, which have label 0 and answer. */
function policyObject(name: string, index: number): KubeObject {
  return {
    apiVersion: 'isovalent.com/v1',
    kind: 'IsovalentEgressGatewayPolicy',
    metadata: { name },
    spec: {
      selectors: [{ podSelector: { matchLabels: { app: `app-${index}` } } }],
      destinationCIDRs: [`203.0.${index & 255}.0/24`],
      egressGroups: [{ nodeSelector: { matchLabels: { 'crowd-gw': String(index % 10) } } }],
    },
  } as unknown as KubeObject
}

function podObject(index: number, nodeCount: number): object {
  return {
    metadata: { name: `crowd-${index}`, namespace: 'default', labels: { app: `app-${index % 1000}` } },
    spec: { nodeName: nodeName(index % nodeCount), containers: [{ name: 'main', image: 'none' }] },
  }
}

function podStatus(index: number): object {
  const ip = addressOf(`10.${128 + (index >> 16)}`, index & 65535)
  return { phase: 'Running', podIP: ip, podIPs: [{ ip }] }
}
