import { isOlder, kernels } from '../../datapath/requirements.ts'
import { parseAddress } from '../../net/address.ts'
import { contains, overlaps, type Prefix, parsePrefix } from '../../net/prefix.ts'
import type { Finding } from '../../runtime/finding.ts'
import { judgeDryRuns } from './dry-run.ts'
import type { ClusterFacts, NodeFacts } from './facts.ts'
import { judgeMissingPlugins } from './missing-plugins.ts'
import { judgeOtherProducts } from './other-products.ts'
import { judgeServices } from './services.ts'

/** The settings of an install that preflight checks against the cluster. */
export interface PlannedInstall {
  readonly isChained: boolean
  /** Stand-alone, and packets to pods go through the stack. */
  readonly servicesByStack: boolean
  /** Undefined: agents reach the API server by the Service `kubernetes`. */
  readonly apiServer: object | undefined
  readonly stackCIDRs: readonly Prefix[]
  /** A UDP port. */
  readonly tunnelPort: number
  /** The folder for CNI plugins on each node. */
  readonly binaries: string
  /** The image repository. */
  readonly image: string
}

const oldestMinorVersion = 28
/** With a larger difference, certificates and tokens can be invalid. */
const maxClockSkewMs = 30_000

export function judgeCluster(facts: ClusterFacts, planned: PlannedInstall): readonly Finding[] {
  return [
    judgeVersion(facts),
    ...judgeRights(facts),
    ...judgeClock(facts),
    ...judgeOtherProducts(facts, planned),
    ...judgeDefinitions(facts),
    ...judgeNodes(facts, planned),
    ...judgeAddresses(facts, planned),
    ...judgePods(facts, planned),
    ...judgeServices(facts.services, planned.stackCIDRs),
    ...judgeMissingPlugins(facts.missingPlugins, planned.binaries),
    ...judgeRelease(facts),
    ...judgeImage(planned),
    ...judgeDryRuns(facts.dryRuns),
  ]
}

function judgeRelease({ helmRelease }: ClusterFacts): Finding[] {
  if (helmRelease === undefined) return []
  return [
    {
      level: 'warning',
      what: `the Helm release ${helmRelease} manages this install`,
      remedy: 'change it with "helm upgrade", because "sallyport install" refuses to',
    },
  ]
}

/** No image is published. Nodes have the default image only if the user has loaded it into each of them. */
function judgeImage({ image }: PlannedInstall): Finding[] {
  if (image.includes('/')) return []
  return [
    {
      level: 'warning',
      what: `the image ${image} has no registry in its name, so nodes cannot pull it`,
      remedy: 'push it to a registry and set image.repository, or load it into every node',
    },
  ]
}

function judgeVersion({ version }: ClusterFacts): Finding {
  const minor = Number(/^v1\.(\d+)/.exec(version)?.[1])
  if (minor >= oldestMinorVersion) return { level: 'fine', what: `Kubernetes ${version}` }
  return {
    level: 'problem',
    what: `the API server has version ${version}`,
    remedy: `Sallyport needs Kubernetes 1.${oldestMinorVersion} or later`,
  }
}

function judgeRights({ missingRights }: ClusterFacts): Finding[] {
  if (missingRights.length === 0) return [{ level: 'fine', what: 'you have the rights to install' }]
  return [
    {
      level: 'problem',
      what: `you may not ${missingRights.join(', ')}`,
      remedy: 'install with the rights of a cluster administrator',
    },
  ]
}

function judgeClock({ clockAheadMs }: ClusterFacts): Finding[] {
  if (clockAheadMs === undefined || Math.abs(clockAheadMs) <= maxClockSkewMs) return []
  const direction = clockAheadMs > 0 ? 'ahead of' : 'behind'
  return [
    {
      level: 'warning',
      what: `this machine's clock is ${Math.round(Math.abs(clockAheadMs) / 1000)} s ${direction} the API server's`,
      remedy: 'synchronise both by NTP, or the API server may refuse certificates and tokens',
    },
  ]
}

function judgeDefinitions({ foreignDefinitions }: ClusterFacts): Finding[] {
  return foreignDefinitions.map((name) => ({
    level: 'fine',
    what: `${name} belongs to another product, and Sallyport uses it unchanged`,
  }))
}

function judgeNodes({ nodes }: ClusterFacts, { isChained }: PlannedInstall): Finding[] {
  const namesOf = (has: (node: NodeFacts) => boolean): string =>
    nodes
      .filter(has)
      .map(({ name }) => name)
      .join(', ')
  const [old, foreign, untested] = [
    namesOf(({ kernel }) => isOlder(kernel, kernels.oldest)),
    namesOf(
      ({ machine, system }) => !['amd64', 'arm64', ''].includes(machine) || !['linux', ''].includes(system),
    ),
    namesOf(({ kernel }) => !isOlder(kernel, kernels.oldest) && isOlder(kernel, kernels.oldestTried)),
  ]
  const findings: Finding[] = []
  if (old !== '')
    findings.push({
      level: 'problem',
      what: `kernels older than ${kernels.oldest} on ${old}`,
      remedy: 'upgrade these kernels, because agents do not start there',
    })
  if (foreign !== '')
    findings.push({
      level: 'problem',
      what: `nodes that are not Linux on x86-64 or arm64: ${foreign}`,
      remedy: 'agents do not start there',
    })
  if (untested !== '')
    findings.push({
      level: 'warning',
      what: `kernels older than ${kernels.oldestTried} on ${untested}`,
      remedy: `Sallyport has not been tested on them; if a kernel refuses the programs, its agent reports that and does not start${isChained ? '. As gateways, these nodes need another address than their own' : ''}`,
    })
  if (findings.length === 0)
    findings.push({ level: 'fine', what: `${nodes.length} nodes have a supported kernel` })
  return findings
}

/** Some providers' CNI plugins give pods addresses of the nodes' own networks. */
const hasPods = ({ pods }: ClusterFacts, prefix: Prefix): boolean =>
  pods.some(({ ips }) => ips.some((ip) => contains(prefix, ip)))

function judgeAddresses(facts: ClusterFacts, { isChained, stackCIDRs }: PlannedInstall): Finding[] {
  const { nodes } = facts
  const findings: Finding[] = []
  const without = (what: string, isWithout: (node: NodeFacts) => boolean, remedy: string): void => {
    const names = nodes.filter(isWithout).map(({ name }) => name)
    if (names.length > 0)
      findings.push({ level: 'problem', what: `no ${what} on ${names.join(', ')}`, remedy })
  }
  without(
    'InternalIP',
    ({ addresses }) => addresses.length === 0,
    'configure the kubelet or the cloud provider to report one',
  )
  if (!isChained)
    without(
      'spec.podCIDRs',
      ({ podCIDRs }) => podCIDRs.length === 0,
      'start kube-controller-manager with --allocate-node-cidrs and --cluster-cidr',
    )
  const prefixes = nodes.flatMap(({ name, podCIDRs }) =>
    podCIDRs.flatMap(prefixOf).map((prefix) => ({ name, prefix })),
  )
  for (const [index, one] of prefixes.entries())
    for (const other of prefixes.slice(index + 1))
      if (one.name !== other.name && overlaps(one.prefix, other.prefix))
        findings.push({
          level: 'problem',
          what: `the pod CIDRs of ${one.name} (${one.prefix}) and ${other.name} (${other.prefix}) overlap`,
          remedy: 'delete one of the nodes and let it join again',
        })
  for (const { name, addresses } of nodes)
    for (const text of addresses) {
      const address = parseAddress(text)
      const inside = stackCIDRs.find((prefix) => address !== undefined && contains(prefix, address))
      if (inside !== undefined && !hasPods(facts, inside))
        findings.push({
          level: 'problem',
          what: `node ${name} (${text}) is inside stackCIDRs (${inside}), the range of Services`,
          remedy: 'set stackCIDRs to the real range of Services: --set stackCIDRs={…}',
        })
    }
  return findings
}

/** Another CNI plugin may assign pod addresses outside the nodes' pod CIDRs. Egress policies would capture traffic to such pods. */
function judgePods({ nodes, pods }: ClusterFacts, { stackCIDRs }: PlannedInstall): Finding[] {
  const inCluster = [...stackCIDRs, ...nodes.flatMap(({ podCIDRs }) => podCIDRs).flatMap(prefixOf)]
  const stray = pods.find(({ ips }) => ips.some((ip) => !inCluster.some((prefix) => contains(prefix, ip))))
  if (stray === undefined) return []
  return [
    {
      level: 'problem',
      what: `pod ${stray.name} has an address (${stray.ips.join(', ')}) outside the nodes' spec.podCIDRs and outside stackCIDRs, so an egress policy could capture traffic to it`,
      remedy: 'set stackCIDRs to the range of Services and the prefixes of all pods: --set stackCIDRs={…}',
    },
  ]
}

function prefixOf(text: string): readonly Prefix[] {
  const prefix = parsePrefix(text)
  return prefix === undefined ? [] : [prefix]
}
