import { kinds } from '../../api/kinds.ts'
import type { Manifest } from '../../install/manifest.ts'
import { isAllowed } from '../../kube/access-review.ts'
import type { KubeClient, KubeObject, ResourceName } from '../../kube/client.ts'
import { coreResource, type KubePod } from '../../kube/cluster-objects.ts'
import { KubeError } from '../../kube/kube-error.ts'
import { type Address, parseAddress } from '../../net/address.ts'
import { findHelmRelease, isOurs } from '../install/helm-release.ts'
import { type DryRun, dryRunInstall } from './dry-run.ts'
import { findMissingPlugins, type MissingPlugin } from './missing-plugins.ts'
import { gatherServiceFacts, type ServiceFacts } from './services.ts'

/** The facts about a cluster that decide whether Sallyport can be installed, and how. */
export interface ClusterFacts {
  /** The version that the API server reports, for example `v1.31.2`. */
  readonly version: string
  /** How far this machine's clock is ahead of the API server's. Undefined if the API server sends no time. */
  readonly clockAheadMs: number | undefined
  /** The rights that an install needs and the user does not have, for example `create clusterroles`. */
  readonly missingRights: readonly string[]
  /** Definitions of our kinds that another product created. */
  readonly foreignDefinitions: readonly string[]
  /** DaemonSets of other products, as namespace/name. */
  readonly daemonSets: readonly string[]
  readonly nodes: readonly NodeFacts[]
  /** Some of the pods without hostNetwork. */
  readonly pods: readonly PodFacts[]
  readonly services: ServiceFacts
  readonly missingPlugins: readonly MissingPlugin[]
  /** The Helm release that installed Sallyport. */
  readonly helmRelease: string | undefined
  /** Empty if the user lacks the rights, or if a Helm release owns the objects. */
  readonly dryRuns: readonly DryRun[]
}

interface PodFacts {
  /** As namespace/name. */
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

/** The resources that an install creates. */
const created = [
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
    dryRuns: canTry ? await dryRunInstall(client, manifests) : [],
  }
}

/** Every answer of the API server has its time in the Date header, in whole seconds. */
async function askVersion(client: KubeClient): Promise<Pick<ClusterFacts, 'version' | 'clockAheadMs'>> {
  const answer = await client.send({ method: 'GET', path: '/version' })
  const { gitVersion = 'unknown' } = (await answer.body.json()) as { readonly gitVersion?: string }
  const serverMs = Date.parse(String(answer.headers.date))
  return { version: gitVersion, clockAheadMs: Number.isNaN(serverMs) ? undefined : Date.now() - serverMs }
}

async function findMissingRights(client: KubeClient): Promise<string[]> {
  const missing: string[] = []
  for (const { group, plural, isNamespaced } of created) {
    const action = {
      verb: 'create',
      group,
      resource: plural,
      ...(isNamespaced ? { namespace: 'kube-system' } : {}),
    }
    if (!(await isAllowed(client, action))) missing.push(`create ${plural}${group === '' ? '' : `.${group}`}`)
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

/** Without the right to list, preflight checks the rest. */
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

/** One page is enough to see which addresses the CNI plugin uses. Listing all pods of a large cluster would cost too much. */
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
