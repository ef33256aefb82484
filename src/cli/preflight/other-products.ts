import type { Finding } from '../../runtime/finding.ts'
import type { ClusterFacts } from './facts.ts'
import type { PlannedInstall } from './judge.ts'

/** Another product that handles pods' packets. */
interface OtherProduct {
  /** Matches the namespace/name of its DaemonSets. */
  readonly pattern: RegExp
  readonly name: string
  /** It has an egress gateway of its own. */
  readonly isGateway?: true
  /** The default UDP port of its tunnel. */
  readonly tunnelPort?: number
  /** What to change in it, so that it does not disable other CNI plugins. */
  readonly admitOthers?: string
}

const otherProducts: readonly OtherProduct[] = [
  {
    pattern: /\/cilium$/,
    name: 'Cilium',
    isGateway: true,
    tunnelPort: 8472,
    admitOthers: 'set cni.exclusive=false in Cilium, or it renames the configuration of other plugins',
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

export function judgeOtherProducts(
  { daemonSets }: ClusterFacts,
  { isChained, servicesByStack, tunnelPort, apiServer }: PlannedInstall,
): Finding[] {
  const present = otherProducts.filter(({ pattern }) => daemonSets.some((name) => pattern.test(name)))
  return [
    ...present.flatMap((product) => judgeOtherProduct(product, tunnelPort)),
    ...judgeNetwork(present[0]?.name, isChained),
    ...judgeProxy(daemonSets, {
      isChained,
      isStackUsed: isChained || servicesByStack,
      knowsServer: apiServer !== undefined,
    }),
  ]
}

interface ServiceUse {
  readonly isChained: boolean
  readonly isStackUsed: boolean
  /** Agents need no Service to reach the API server. */
  readonly knowsServer: boolean
}

/** kube-proxy translates Services in the node's stack, so pods reach them only if their packets go through it. */
function judgeProxy(
  daemonSets: readonly string[],
  { isChained, isStackUsed, knowsServer }: ServiceUse,
): Finding[] {
  const isThere = daemonSets.some((name) => /\/kube-proxy/.test(name))
  if (isThere && isStackUsed) return [{ level: 'fine', what: 'kube-proxy handles Services' }]
  if (isThere)
    return [
      {
        level: 'problem',
        what: 'kube-proxy handles Services here, and with this value of kubeProxyReplacement Sallyport handles those that pods use, too',
        remedy:
          'leave Services to kube-proxy: --set kubeProxyReplacement=false. Or delete the DaemonSet kube-proxy and its rules',
      },
    ]
  if (isChained) return []
  if (!isStackUsed && knowsServer)
    return [{ level: 'fine', what: 'Sallyport handles Services, and there is no kube-proxy' }]
  if (!isStackUsed)
    return [
      {
        level: 'warning',
        what: 'Sallyport handles Services, and there is no kube-proxy. So its own agents do not reach the API server by the Service kubernetes before they have made the routes to Services',
        remedy: 'name the API server: --set k8sServiceHost=ADDRESS --set k8sServicePort=6443',
      },
    ]
  return [
    {
      level: 'warning',
      what: 'there is no DaemonSet kube-proxy, and with this value of kubeProxyReplacement Sallyport does not handle Services',
      remedy:
        'run kube-proxy, or --set kubeProxyReplacement=strict. Otherwise pods cannot reach Services such as DNS. k3s and others run kube-proxy in a process of their own, which preflight does not see',
    },
  ]
}

function judgeOtherProduct(
  { name, isGateway, admitOthers, ...its }: OtherProduct,
  tunnelPort: number,
): Finding[] {
  const findings: Finding[] = []
  if (isGateway)
    findings.push({
      level: 'warning',
      what: `${name} runs here, and it has an egress gateway of its own`,
      remedy:
        'disable its egress gateway, because two gateways with the same policies take packets from each other',
    })
  if (admitOthers !== undefined)
    findings.push({ level: 'warning', what: `${name} disables other CNI plugins`, remedy: admitOthers })
  if (its.tunnelPort === tunnelPort)
    findings.push({
      level: 'problem',
      what: `${name} uses UDP port ${tunnelPort} for its own tunnel by default`,
      remedy: `use another port for Sallyport: --set tunnelPort=${tunnelPort + 1}`,
    })
  return findings
}

function judgeNetwork(network: string | undefined, isChained: boolean): Finding[] {
  if (network !== undefined)
    return isChained
      ? [{ level: 'fine', what: `Sallyport is chained to ${network}, which connects the pods` }]
      : [
          {
            level: 'problem',
            what: `${network} connects this cluster's pods`,
            remedy: 'chain Sallyport to it: --set cni.chainingMode=generic-veth',
          },
        ]
  if (!isChained) return []
  return [
    {
      level: 'warning',
      what: 'there is no known CNI plugin to which Sallyport can be chained',
      remedy: 'install one, or pods cannot start',
    },
  ]
}
