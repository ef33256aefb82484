import { kinds } from '../../api/kinds.ts'
import type { Manifest } from '../../install/manifest.ts'
import { isAllowed } from '../../kube/access-review.ts'
import type { KubeClient, KubeObject, ResourceName } from '../../kube/client.ts'
import { coreResource, type KubePod } from '../../kube/cluster-objects.ts'
import { KubeError } from '../../kube/kube-error.ts'
import { type Address, parseAddress } from '../../net/address.ts'
import { findHelmRelease, isOurs } from '../install/helm-release.ts'
import { type Rehearsal, rehearseInstall } from './dry-run.ts'
import { findMissingPlugins, type MissingPlugin } from './sandboxes.ts'
import { gatherServiceFacts, type ServiceFacts } from './services.ts'

/** What of a cluster decides whether Sallyport can be installed, and how. */
export interface ClusterFacts {
  /** As the API server says, `v1.31.2`. */
  readonly version: string
  /** ms that this machine's clock is ahead of the API server's; undefined where it did not say. */
  readonly clockAheadMs: number | undefined
  /** What the person may not do and an install has to, in words. */
  readonly missingRights: readonly string[]
  /** Our kinds that others have defined. */
  readonly foreignDefinitions: readonly string[]
  /** Names of DaemonSets that are not ours, with their namespaces. */
  readonly daemonSets: readonly string[]
  readonly nodes: readonly NodeFacts[]
  /** Some of those that have a network of their own. */
  readonly pods: readonly PodFacts[]
  readonly services: ServiceFacts
  readonly missingPlugins: readonly MissingPlugin[]
  /** That Sallyport is installed by. */
  readonly helmRelease: string | undefined
  /** Empty if the rights for it are missing, or if a Helm release holds the objects. */
  readonly rehearsals: readonly Rehearsal[]
}

export interface PodFacts {
  /** With its namespace. */
  readonly name: string
  readonly ips: readonly Address[]
}

export interface NodeFacts {
  readonly name: string
  readonly kernel: string
  readonly machine: string
  readonly system: string
  readonly addresses: readonly string[]
  readonly podCIDRs: readonly string[]
}

interface NodeObject extends KubeObject {
  readonly spec?: { readonly podCIDRs?: readonly string[]; readonly podCIDR?: string }
  readonly status?: {
    readonly addresses?: readonly { readonly type: string; readonly address: string }[]
    readonly nodeInfo?: Readonly<Record<string, string>>
  }
}

const named = (group: string, plural: string, isNamespaced = false): ResourceName => ({
  group,
  version: 'v1',
  plural,
  isNamespaced,
})

/** What an install writes. */
const needed = [
  named('apiextensions.k8s.io', 'customresourcedefinitions'),
  named('rbac.authorization.k8s.io', 'clusterroles'),
  named('rbac.authorization.k8s.io', 'clusterrolebindings'),
  named('apps', 'daemonsets', true),
  named('apps', 'deployments', true),
  named('', 'configmaps', true),
  named('', 'serviceaccounts', true),
]

export async function gatherClusterFacts(
  client: KubeClient,
  manifests: readonly Manifest[],
): Promise<ClusterFacts> {
  const { version, clockAheadMs } = await askVersion(client)
  const missingRights = await findMissingRights(client)
  const helmRelease = missingRights.length > 0 ? undefined : await findHelmRelease(client)
  const canTry = missingRights.length === 0 && helmRelease === undefined
  return {
    version,
    clockAheadMs,
    missingRights,
    foreignDefinitions: await findForeignDefinitions(client),
    daemonSets: await listDaemonSets(client),
    nodes: await listNodes(client),
    pods: await listSomePods(client),
    services: await gatherServiceFacts(client),
    missingPlugins: await unlessForbidden(async () => [...(await findMissingPlugins(client))]),
    helmRelease,
    rehearsals: canTry ? await rehearseInstall(client, manifests) : [],
  }
}

/** The server's clock is in the head of every answer, in whole seconds. */
async function askVersion(client: KubeClient): Promise<Pick<ClusterFacts, 'version' | 'clockAheadMs'>> {
  const answer = await client.send({ method: 'GET', path: '/version' })
  const { gitVersion = 'unknown' } = (await answer.body.json()) as { readonly gitVersion?: string }
  const serverMs = Date.parse(String(answer.headers.date))
  return { version: gitVersion, clockAheadMs: Number.isNaN(serverMs) ? undefined : Date.now() - serverMs }
}

async function findMissingRights(client: KubeClient): Promise<string[]> {
  const missing: string[] = []
  for (const { group, plural, isNamespaced } of needed) {
    const deed = {
      verb: 'create',
      group,
      resource: plural,
      ...(isNamespaced ? { namespace: 'kube-system' } : {}),
    }
    if (!(await isAllowed(client, deed))) missing.push(`create ${plural}${group === '' ? '' : `.${group}`}`)
  }
  return missing
}

async function findForeignDefinitions(client: KubeClient): Promise<string[]> {
  const { items } = await client.resource(named('apiextensions.k8s.io', 'customresourcedefinitions')).list({})
  const ours = new Set(Object.values(kinds).map(({ plural, group }) => `${plural}.${group}`))
  return items
    .filter(({ metadata }) => ours.has(metadata.name))
    .filter((each) => !isOurs(each))
    .map(({ metadata }) => metadata.name)
}

/** What a person may not read is left out: preflight says what it can. */
async function unlessForbidden<T>(list: () => Promise<T[]>): Promise<T[]> {
  try {
    return await list()
  } catch (error) {
    if (error instanceof KubeError && error.code === 403) return []
    throw error
  }
}

function listDaemonSets(client: KubeClient): Promise<string[]> {
  return unlessForbidden(async () => {
    const { items } = await client.resource(named('apps', 'daemonsets', true)).list({})
    return items
      .filter((each) => !isOurs(each))
      .map(({ metadata: { namespace, name } }) => `${namespace}/${name}`)
  })
}

async function listNodes(client: KubeClient): Promise<NodeFacts[]> {
  const { items } = await client.resource<NodeObject>(coreResource('nodes', false)).list({})
  return items.map(({ metadata: { name }, spec = {}, status = {} }) => ({
    name,
    kernel: status.nodeInfo?.kernelVersion ?? '',
    machine: status.nodeInfo?.architecture ?? '',
    system: status.nodeInfo?.operatingSystem ?? '',
    addresses: (status.addresses ?? []).flatMap(({ type, address }) =>
      type === 'InternalIP' ? [address] : [],
    ),
    podCIDRs: spec.podCIDRs ?? (spec.podCIDR === undefined ? [] : [spec.podCIDR]),
  }))
}

/** A page says where a plugin takes its addresses from; all pods of a large cluster would be too much to ask for. */
function listSomePods(client: KubeClient): Promise<PodFacts[]> {
  const path = client.resource(coreResource('pods', true)).path()
  return unlessForbidden(async () => {
    const { items = [] } = (await client.json({ method: 'GET', path, query: { limit: '500' } })) as {
      readonly items?: readonly KubePod[]
    }
    return items
      .filter(({ spec }) => !spec.hostNetwork)
      .map(({ metadata: { namespace, name }, status }) => ({
        name: `${namespace}/${name}`,
        ips: (status?.podIPs ?? []).flatMap(({ ip }) => parseAddress(ip) ?? []),
      }))
  })
}
