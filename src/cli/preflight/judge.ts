import { isOlder, kernels } from '../../datapath/requirements.ts'
import { parseAddress } from '../../net/address.ts'
import { contains, overlaps, type Prefix, parsePrefix } from '../../net/prefix.ts'
import type { Finding } from '../../runtime/finding.ts'
import { judgeRehearsal } from './dry-run.ts'
import type { ClusterFacts, NodeFacts } from './facts.ts'
import { judgeNeighbours } from './neighbours.ts'
import { judgeMissingPlugins } from './sandboxes.ts'
import { judgeServices } from './services.ts'

/** What an install is to be. */
export interface Wishes {
  readonly isChained: boolean
  readonly stackCIDRs: readonly Prefix[]
  /** UDP. */
  readonly tunnelPort: number
  /** Where the agent is to put CNI plugins on a node. */
  readonly binaries: string
  /** The repository of the image. */
  readonly image: string
}

const oldestCluster = 28
/** Certificates and tokens are refused by clocks that differ by more. */
const mostClockMs = 30_000

/** Pure: the same facts have the same findings. */
export function judgeCluster(facts: ClusterFacts, wishes: Wishes): readonly Finding[] {
  return [
    judgeVersion(facts),
    ...judgeRights(facts),
    ...judgeClock(facts),
    ...judgeNeighbours(facts, wishes),
    ...judgeDefinitions(facts),
    ...judgeNodes(facts),
    ...judgeAddresses(facts, wishes),
    ...judgePods(facts, wishes),
    ...judgeServices(facts.services, wishes.stackCIDRs),
    ...judgeMissingPlugins(facts.missingPlugins, wishes.binaries),
    ...judgeRelease(facts),
    ...judgeImage(wishes),
    ...judgeRehearsal(facts.rehearsals),
  ]
}

function judgeRelease({ helmRelease }: ClusterFacts): Finding[] {
  if (helmRelease === undefined) return []
  return [
    {
      level: 'warning',
      what: `Sallyport is installed by the Helm release ${helmRelease}`,
      remedy: 'change it with helm upgrade: install refuses to touch it',
    },
  ]
}

/** No image is published, so the default names one that nodes find only if it was loaded into each of them. */
function judgeImage({ image }: Wishes): Finding[] {
  if (image.includes('/')) return []
  return [
    {
      level: 'warning',
      what: `the image ${image} names no registry, so that nodes cannot pull it`,
      remedy: 'set image.repository to where you pushed it, unless you loaded it into every node',
    },
  ]
}

function judgeVersion({ version }: ClusterFacts): Finding {
  const minor = Number(/^v1\.(\d+)/.exec(version)?.[1])
  if (minor >= oldestCluster) return { level: 'fine', what: `Kubernetes ${version}` }
  return {
    level: 'problem',
    what: `the API server is ${version}`,
    remedy: `Sallyport needs Kubernetes 1.${oldestCluster} or later`,
  }
}

function judgeRights({ missingRights }: ClusterFacts): Finding[] {
  if (missingRights.length === 0) return [{ level: 'fine', what: 'you may install' }]
  return [
    {
      level: 'problem',
      what: `you may not ${missingRights.join(', ')}`,
      remedy: 'install with the rights of a cluster administrator',
    },
  ]
}

function judgeClock({ clockAheadMs }: ClusterFacts): Finding[] {
  if (clockAheadMs === undefined || Math.abs(clockAheadMs) <= mostClockMs) return []
  const direction = clockAheadMs > 0 ? 'ahead of' : 'behind'
  return [
    {
      level: 'warning',
      what: `this machine's clock is ${Math.round(Math.abs(clockAheadMs) / 1000)} s ${direction} the API server's`,
      remedy: 'set them by NTP: certificates and tokens may be refused',
    },
  ]
}

function judgeDefinitions({ foreignDefinitions }: ClusterFacts): Finding[] {
  return foreignDefinitions.map((name) => ({
    level: 'fine',
    what: `${name} is another product's: it is used as it is, and left alone`,
  }))
}

function judgeNodes({ nodes }: ClusterFacts): Finding[] {
  const odd = (isOdd: (node: NodeFacts) => boolean): string =>
    nodes
      .filter(isOdd)
      .map(({ name }) => name)
      .join(', ')
  const [old, foreign, untried] = [
    odd(({ kernel }) => isOlder(kernel, kernels.oldest)),
    odd(
      ({ machine, system }) => !['amd64', 'arm64', ''].includes(machine) || !['linux', ''].includes(system),
    ),
    odd(({ kernel }) => !isOlder(kernel, kernels.oldest) && isOlder(kernel, kernels.oldestTried)),
  ]
  const findings: Finding[] = []
  if (old !== '')
    findings.push({
      level: 'problem',
      what: `kernels older than ${kernels.oldest} on ${old}`,
      remedy: 'agents do not start there',
    })
  if (foreign !== '')
    findings.push({
      level: 'problem',
      what: `neither Linux on x86-64 nor on arm64: ${foreign}`,
      remedy: 'agents do not start there',
    })
  if (untried !== '')
    findings.push({
      level: 'warning',
      what: `kernels older than ${kernels.oldestTried} on ${untried}`,
      remedy: 'nobody has tried them: an agent that the kernel refuses says so, and does not start',
    })
  if (findings.length === 0)
    findings.push({ level: 'fine', what: `${nodes.length} nodes have kernels that will do` })
  return findings
}

function judgeAddresses({ nodes }: ClusterFacts, { isChained, stackCIDRs }: Wishes): Finding[] {
  const findings: Finding[] = []
  const without = (what: string, isWithout: (node: NodeFacts) => boolean, remedy: string): void => {
    const names = nodes.filter(isWithout).map(({ name }) => name)
    if (names.length > 0)
      findings.push({ level: 'problem', what: `no ${what} on ${names.join(', ')}`, remedy })
  }
  without(
    'InternalIP',
    ({ addresses }) => addresses.length === 0,
    'the kubelet or the cloud provider has to report one',
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
          what: `the pods' prefixes of ${one.name} (${one.prefix}) and ${other.name} (${other.prefix}) overlap`,
          remedy: 'delete one of the nodes and let it join again',
        })
  for (const { name, addresses } of nodes)
    for (const text of addresses) {
      const address = parseAddress(text)
      const inside = stackCIDRs.find((prefix) => address !== undefined && contains(prefix, address))
      if (inside !== undefined)
        findings.push({
          level: 'problem',
          what: `node ${name} (${text}) is inside stackCIDRs (${inside}), the Services' prefix`,
          remedy: 'give the Services’ real prefix: --set stackCIDRs={…}',
        })
    }
  return findings
}

/** Whoever else wires pods may take their addresses from where he likes: what is not known to be the cluster's, policies claim. */
function judgePods({ nodes, pods }: ClusterFacts, { stackCIDRs }: Wishes): Finding[] {
  const inCluster = [...stackCIDRs, ...nodes.flatMap(({ podCIDRs }) => podCIDRs).flatMap(prefixOf)]
  const stray = pods.find(({ ips }) => ips.some((ip) => !inCluster.some((prefix) => contains(prefix, ip))))
  if (stray === undefined) return []
  return [
    {
      level: 'problem',
      what: `pod ${stray.name} has an address (${stray.ips.join(', ')}) outside the nodes' spec.podCIDRs and stackCIDRs: an egress policy could claim what is sent to it`,
      remedy: 'name the prefixes of all pods, and the Services’: --set stackCIDRs={…}',
    },
  ]
}

function prefixOf(text: string): readonly Prefix[] {
  const prefix = parsePrefix(text)
  return prefix === undefined ? [] : [prefix]
}
