import type { Finding } from '../../runtime/finding.ts'
import type { ClusterFacts } from './facts.ts'
import type { Wishes } from './judge.ts'

/** Another product that has to do with pods' packets. */
interface Neighbour {
  /** Of the names of its DaemonSets, with their namespaces. */
  readonly pattern: RegExp
  readonly name: string
  /** It has an egress gateway of its own. */
  readonly isGateway?: true
  /** UDP port of its VXLAN, as it is installed if nobody says otherwise. */
  readonly tunnelPort?: number
  /** What has to be changed in it to have others beside it. */
  readonly mustLetOthersIn?: string
}

const neighbours: readonly Neighbour[] = [
  {
    pattern: /\/cilium$/,
    name: 'Cilium',
    isGateway: true,
    tunnelPort: 8472,
    mustLetOthersIn: 'it renames the configuration of other plugins: install it with cni.exclusive=false',
  },
  { pattern: /\/calico-node$/, name: 'Calico', tunnelPort: 4789 },
  { pattern: /\/(kube-)?flannel(-ds)?$/, name: 'flannel', tunnelPort: 8472 },
  { pattern: /\/kindnet$/, name: 'kindnet' },
  { pattern: /\/kube-router$/, name: 'kube-router' },
  { pattern: /\/weave-net$/, name: 'Weave Net', tunnelPort: 6784 },
  { pattern: /\/aws-node$/, name: 'the Amazon VPC CNI plugin' },
  { pattern: /\/ovnkube-node$/, name: 'OVN-Kubernetes', isGateway: true },
  { pattern: /\/antrea-agent$/, name: 'Antrea', isGateway: true },
]

export function judgeNeighbours({ daemonSets }: ClusterFacts, { isChained, tunnelPort }: Wishes): Finding[] {
  const present = neighbours.filter(({ pattern }) => daemonSets.some((name) => pattern.test(name)))
  return [
    ...present.flatMap((neighbour) => judgeNeighbour(neighbour, tunnelPort)),
    ...judgeNetwork(present[0]?.name, isChained),
    ...judgeProxy(daemonSets, isChained),
  ]
}

/** Chained, the other plugin carries what pods send to Services, as it did before. */
function judgeProxy(daemonSets: readonly string[], isChained: boolean): Finding[] {
  const isThere = daemonSets.some((name) => /\/kube-proxy/.test(name))
  if (isChained) return isThere ? [{ level: 'fine', what: 'kube-proxy serves Services' }] : []
  if (isThere)
    return [
      {
        level: 'problem',
        what: 'kube-proxy serves Services here, and as the only CNI plugin Sallyport does not carry its answers back to pods: they have no DNS',
        remedy: 'chain Sallyport to a plugin that does: --set cni.chainingMode=generic-veth',
      },
    ]
  return [
    {
      level: 'warning',
      what: 'no DaemonSet kube-proxy was found, and Sallyport does not serve Services',
      remedy: 'pods reach Services, DNS among them, only if something else on each node serves them',
    },
  ]
}

function judgeNeighbour(
  { name, isGateway, mustLetOthersIn, ...its }: Neighbour,
  tunnelPort: number,
): Finding[] {
  const findings: Finding[] = []
  if (isGateway)
    findings.push({
      level: 'warning',
      what: `${name} runs here, which has an egress gateway and a datapath of its own`,
      remedy: 'switch its egress gateway off: two that honour the same policies take packets from each other',
    })
  if (mustLetOthersIn !== undefined)
    findings.push({ level: 'warning', what: `${name} keeps other plugins out`, remedy: mustLetOthersIn })
  if (its.tunnelPort === tunnelPort)
    findings.push({
      level: 'problem',
      what: `${name} has UDP port ${tunnelPort} for its own tunnels, if it is installed as usual`,
      remedy: `take another one: --set tunnelPort=${tunnelPort + 1}`,
    })
  return findings
}

function judgeNetwork(network: string | undefined, isChained: boolean): Finding[] {
  if (network !== undefined)
    return isChained
      ? [{ level: 'fine', what: `chained to ${network}, which keeps the pods' network` }]
      : [
          {
            level: 'problem',
            what: `${network} wires this cluster's pods`,
            remedy: 'add egress to it: --set cni.chainingMode=generic-veth',
          },
        ]
  if (!isChained) return []
  return [
    {
      level: 'warning',
      what: 'no CNI plugin that is known here was found to chain to',
      remedy: 'pods cannot start until one has its network on the nodes',
    },
  ]
}
