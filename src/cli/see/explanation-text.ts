import type { Explanation, WayOut } from '../../agent/api/explain/explanation.ts'
import { formatColumns } from '../columns.ts'

/** The packet's story from the top, for a person. */
export function formatExplanation(said: Explanation): string {
  const parts = [
    ['Service', serviceLines(said)],
    ['Policies', policies(said)],
    ['Rule', rules(said)],
    ['NetworkPolicies', networkPolicies(said)],
    ['Gateways', gateways(said)],
    ['Egress IPs', egressIps(said)],
    ['Route of the gateway', wayOut(said)],
    ['Verdict', verdict(said)],
  ] as const
  const shown = parts.filter(([, lines]) => lines.length > 0)
  const own = [headline(said), ...shown.map(([title, lines]) => `\n${title}\n${indent(lines.join('\n'))}`)]
  if (said.afterService === undefined) return own.join('\n')
  const then = `If kube-proxy chooses ${endText(said.service?.endpoint)}, the stack sends the packet on, and the policies apply to that address:`
  return [...own, '', then, '', formatExplanation(said.afterService)].join('\n')
}

const endText = (end: { readonly address: string; readonly port: number } | undefined): string =>
  end === undefined
    ? ''
    : end.address.includes(':')
      ? `[${end.address}]:${end.port}`
      : `${end.address}:${end.port}`

const addressKinds = {
  ClusterIP: 'cluster IP',
  NodePort: 'node port',
  ExternalIPs: 'external IP',
  LoadBalancer: 'load balancer address',
} as const

function serviceLines({ service, pod }: Explanation): readonly string[] {
  if (service === undefined) return []
  const { eligible, eligibleCount, others, affinitySeconds, endpoint, translatedBy } = service
  const listed = `${eligible.map(endText).join(', ')}${eligibleCount > eligible.length ? ', …' : ''}`
  const end = `${endText(service)} is a ${addressKinds[service.kind]} of Service ${service.service}.`
  const ends =
    eligibleCount === 0
      ? ['It has no endpoint for this flow.']
      : [`Endpoints for this flow (${eligibleCount}): ${listed}`]
  if (translatedBy === 'none')
    return [
      end,
      'It is not translated: to Sallyport the address is outside the cluster, and the policies apply to it.',
    ]
  if (translatedBy === 'kube-proxy')
    return [
      end,
      `kube-proxy, or the other CNI plugin, translates it on node ${pod.node} and chooses the endpoint.`,
      ...ends,
    ]
  return [
    end,
    `Sallyport's programs translate it on node ${pod.node}.`,
    ...ends,
    ...(others.length > 0 ? [`Not for this flow: ${others.map(endText).join(', ')}`] : []),
    ...(affinitySeconds > 0
      ? [`Session affinity: the pod keeps its endpoint for ${affinitySeconds} s after its last connection.`]
      : []),
    ...(endpoint === undefined
      ? []
      : [`✓ This flow gets ${endText(endpoint)}. What follows is about that address.`]),
  ]
}

const indent = (text: string): string => text.replace(/^/gm, '  ')

const openings = { tcp: 'opens a TCP connection', udp: 'sends a UDP datagram', icmp: 'sends a ping' } as const

function headline({ pod, flow, isHypothetical }: Explanation): string {
  const { source, destination, port, protocol } = flow
  const host = destination.includes(':') && protocol !== 'icmp' ? `[${destination}]` : destination
  const to = protocol === 'icmp' ? destination : `${host}:${port}`
  const what = `Pod ${pod.namespace}/${pod.name} (${source}) on node ${pod.node} ${openings[protocol]} to ${to}.`
  return isHypothetical ? `${what}\nThis is what would happen with the given policies.` : what
}

function policies({ policies: all }: Explanation): readonly string[] {
  if (all.length === 0) return ['There is no policy.']
  return all.map(({ name, selectsPod, because }) =>
    selectsPod ? `✓ ${name} selects the pod` : `- ${name} does not: ${because.join('; or ')}`,
  )
}

function rules({ rules: all, policies: selections }: Explanation): readonly string[] {
  if (all.length === 0)
    return selections.some(({ selectsPod }) => selectsPod)
      ? ['No policy that selects the pod has this destination.']
      : []
  return all.map(({ name, prefix, isExcluded, beatenBecause }) => {
    const what = `${prefix} ${isExcluded ? 'in excludedCIDRs' : ''} of ${name}`.replace(/ +/g, ' ')
    return beatenBecause === undefined ? `✓ ${what} decides` : `- ${what}: ${beatenBecause}`
  })
}

function networkPolicies({
  networkPolicies: { mode, restrictedBy, problems },
}: Explanation): readonly string[] {
  if (mode === 'bypass') return ['They are ignored, as configured (cni.networkPolicies=bypass).']
  if (restrictedBy.length === 0) return ['None restricts what the pod sends.']
  return [`The pod is restricted by ${restrictedBy.join(', ')}.`, ...problems]
}

function gateways({ gateways: all }: Explanation): readonly string[] {
  if (all.length === 0) return []
  const rows = all.map(({ node, egressIps: of, role, isReachable, problems }) => [
    `${role === 'active' ? '✓' : '-'} ${node}`,
    of.join(' ') || 'no egress IP',
    role,
    isReachable === undefined ? 'not probed' : isReachable ? 'reachable' : 'unreachable',
    problems.join('; '),
  ])
  return [formatColumns(rows)]
}

function egressIps({ egressIps: all }: Explanation): readonly string[] {
  if (all.length === 0) return []
  const rows = all.map(({ address, order, holder, ports, podFlows }) => [
    address,
    holder === undefined ? 'no reachable gateway' : `held by ${holder}`,
    order.length > 1 ? `successors ${order.slice(1).join(', ')}` : 'no successor',
    `${ports.owned - ports.inUse} of ${ports.owned} ports free towards the destination`,
    `${podFlows} flows of the pod`,
  ])
  return [formatColumns(rows)]
}

function wayOut({ wayOut: way }: Explanation): readonly string[] {
  return way === undefined ? [] : [describeWay(way)]
}

function describeWay({ node, source, destination, device, nextHop, mtu }: WayOut): string {
  if (device === undefined)
    return `Node ${node} has no route to ${destination} for packets from ${source}: add one. It drops the packet.`
  const hop = nextHop === undefined ? `${destination} on its link` : `the router ${nextHop}`
  return `Node ${node} sends it by device ${device} to ${hop}${mtu === undefined ? '' : `, MTU ${mtu}`}.`
}

const endings: Readonly<Record<string, string>> = {
  SENT_TO_WORLD_MASQUERADED: 'It leaves this node with the address',
  SENT_TO_WORLD: 'It leaves this node with the egress IP',
  SENT_THROUGH_STACK: 'It leaves this node through its network stack with the egress IP',
  SENT_REFUSAL:
    'No endpoint can take it, so the pod gets "port unreachable" at once, and its connection is refused.',
  SENT_TO_POD: 'It is delivered to a pod on this node.',
  SENT_TO_NODE: 'It goes to another node of the cluster, with its own address. No policy applies.',
  PASS_TO_HOST: 'It is for the pod’s own node. No policy applies.',
  PASS_TO_STACK: 'It is left to the node’s network stack. No policy applies to this destination.',
  PASS_NOT_SELECTED: 'No policy selects it, so it is left to the other CNI plugin.',
}

function verdict({ program, decision, agrees, pod }: Explanation): readonly string[] {
  const { verdict: name, reason, remedy, egressIp, holder } = program
  const dropped = reason === undefined ? undefined : `It is dropped: ${reason}. To change that, ${remedy}.`
  const sent =
    holder === undefined
      ? [endings[name] ?? 'See docs/networks.md.', egressIp].filter(Boolean).join(' ')
      : `It leaves through gateway ${holder} with the egress IP ${egressIp}.`
  return [
    `${dropped ?? sent.replace(/([^.])$/, '$1.')} (${name})`,
    agrees
      ? `The datapath's program on node ${pod.node} did this with such a packet${decision.isOpen === undefined ? ', as decided.' : `. The decision alone cannot say: ${decision.isOpen}.`}`
      : `! This is NOT what was decided: ${decision.verdicts.join(' or ')}${decision.egressIps.length > 0 ? ` with ${decision.egressIps.join(' or ')}` : ''}. Report this as a bug, with this output in JSON (-o json).`,
  ]
}
