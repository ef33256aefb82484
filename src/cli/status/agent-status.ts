import type { AgentStatus, DeviceStatus, GatewayPath } from '../../agent/api/local-api.ts'
import { replacesKubeProxy } from '../../install/settings/process-settings.ts'

/** The status of one agent, in the format of `cilium status`. Lines about features that Sallyport does not have say so. */
export function formatAgentStatus(status: AgentStatus, config: Readonly<Record<string, string>>): string {
  const { devices, podCIDRs, masquerading, slot, tunnel, counts, problems } = status
  const lines: (readonly [string, string])[] = [
    ['Kernel:', status.kernel],
    ['KubeProxyReplacement:', describeReplacement(config, devices.map(describeDevice).join(', '))],
    [
      'Masquerading:',
      `${config['cni-chaining-mode'] === 'generic-veth' ? 'left to the other CNI plugin' : 'BPF'}   [${devices.map(({ name }) => name).join(', ')}]   ${podCIDRs.join(', ')} [IPv4: ${onOff(masquerading.ipv4)}, IPv6: ${onOff(masquerading.ipv6)}]`,
    ],
    [
      'Egress Gateway:',
      `${onOff(config['enable-ipv4-egress-gateway'] === 'true')}   ${counts.policies} policies`,
    ],
    ['Slot:', slot === undefined ? 'none yet' : String(slot)],
    ['Tunnel:', `vxlan   [${tunnel.device}]   port ${tunnel.port}, MTU ${tunnel.mtu}`],
    ...(status.paths === undefined ? [] : [['Path to gateways:', describePaths(status.paths)] as const]),
    ['Nodes:', String(counts.nodes)],
    ['Pods:', String(counts.pods)],
    ['Mappings:', String(counts.mappings)],
    ['Packets dropped:', describeDrops(status)],
    ['Health:', describeHealth(status)],
  ]
  const width = Math.max(...lines.map(([name]) => name.length)) + 2
  return [
    ...lines.map(([name, value]) => name.padEnd(width) + value),
    ...status.drops.map(
      ({ packets, verdict, reason, remedy }) => `  - ${packets} ${reason} (${verdict}): ${remedy}`,
    ),
    ...problems.map((problem) => `  ! ${problem}`),
  ].join('\n')
}

/** `Strict`: no Service needs kube-proxy. The word is the same for both values of the setting that ask for it. */
function describeReplacement(config: Readonly<Record<string, string>>, devices: string): string {
  const isChained = config['cni-chaining-mode'] === 'generic-veth'
  const isReplaced = !isChained && replacesKubeProxy(config['kube-proxy-replacement'] ?? 'false')
  return `${isReplaced ? 'Strict' : 'False'}   [${devices}]`
}

function onOff(isOn: boolean): string {
  return isOn ? 'Enabled' : 'Disabled'
}

function describeDevice({ name, addresses, isDirectRouting }: DeviceStatus): string {
  return `${name}    ${addresses.join(' ')}${isDirectRouting ? ' (Direct Routing)' : ''}`
}

function describeHealth({ isReady, problems }: AgentStatus): string {
  if (problems.length > 0) return 'problems, listed below'
  return isReady ? 'OK' : 'not ready'
}

function describeDrops({ drops }: AgentStatus): string {
  if (drops.length === 0) return 'none'
  return `${drops.reduce((sum, { packets }) => sum + packets, 0)} since the datapath was loaded`
}

/** `by the link: a, b; through the tunnel: c (it is not on a link of this node)` */
function describePaths(paths: readonly GatewayPath[]): string {
  const byLink = paths.filter(({ path }) => path === 'link').map(({ node }) => node)
  const byTunnel = paths
    .filter(({ path }) => path === 'tunnel')
    .map(({ node, reason }) => `${node} (${reason})`)
  const parts = [
    ...(byLink.length === 0 ? [] : [`by the link: ${byLink.join(', ')}`]),
    ...(byTunnel.length === 0 ? [] : [`through the tunnel: ${byTunnel.join(', ')}`]),
  ]
  return parts.join('; ') || 'this node uses no other gateway'
}
