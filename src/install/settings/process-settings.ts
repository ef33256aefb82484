import { natLogSettings } from './nat-log-settings.ts'
import type { Setting } from './setting.ts'

/** `strict` is Cilium's older word for `true`. The other words mean that kube-proxy stays. */
export function replacesKubeProxy(kubeProxyReplacement: string): boolean {
  return kubeProxyReplacement === 'true' || kubeProxyReplacement === 'strict'
}

export const healthPortKey = 'health-port'
export const operatorMetricsPortKey = 'operator-metrics-port'

/**
 * The path at which the clean-up answers, on the agent's port. An old agent that is still stopping must not answer there,
 * because the clean-up's pod would count as done before it began. So the agent does not serve this path.
 */
export const cleanedPath = '/cleaned'
export const cniKeys = { binaries: 'cni-bin-path', configuration: 'cni-conf-path' } as const

/** The settings that agents and operators read. */
export const processSettings = [
  {
    path: 'kubeProxyReplacement',
    key: 'kube-proxy-replacement',
    kind: 'word',
    fallback: 'false',
    choices: ['true', 'false', 'strict', 'partial', 'disabled', 'probe'],
    help: 'Whether the cluster runs without kube-proxy. With false, traffic between pods goes through the network stack of each node, so that kube-proxy can translate the addresses of Services. With true or strict, Sallyport translates the addresses of Services for pods, for clients outside the cluster, and (only cluster IPs) for processes of the nodes. Then traffic between pods does not go through the stack and is faster. The other words mean false. In chained mode this setting has no effect.',
  },
  {
    path: 'k8sServiceHost',
    key: 'k8s-service-host',
    kind: 'word',
    fallback: '',
    help: 'Address or name of the API server, by which agents and operators reach it. Set it in a cluster without kube-proxy, where agents cannot use the Service kubernetes before they have made the routes to Services. If empty, they use that Service.',
  },
  {
    path: 'k8sServicePort',
    key: 'k8s-service-port',
    kind: 'integer',
    fallback: '6443',
    range: [1, 65535],
    help: 'Port of the API server at k8sServiceHost.',
  },
  {
    path: 'egressGateway.enabled',
    key: 'enable-ipv4-egress-gateway',
    kind: 'boolean',
    fallback: 'true',
    help: 'Enforce egress policies. If false, all traffic leaves as if there were no policies.',
  },
  {
    path: 'egressGateway.reconciliationTriggerInterval',
    key: 'egress-gateway-reconciliation-trigger-interval',
    kind: 'duration',
    fallback: '1s',
    help: 'Minimum interval between background reconciliations. A change of a policy, a label or a node can wait this long before it takes effect. New pods do not wait.',
  },
  {
    path: 'egressGateway.egressIPLingerTime',
    key: 'egress-ip-linger-time',
    kind: 'duration',
    fallback: '2h4m',
    help: 'How long nodes keep an egress IP that no policy uses any more. When this time ends, connections that still use the egress IP break.',
  },
  {
    path: 'egressGateway.addressProbes',
    key: 'address-probes',
    kind: 'boolean',
    fallback: 'true',
    help: 'Whether gateways ask their links if another host has an address of egressCIDRs, before they use it and while they use it. Set false if a router answers for all addresses (proxy ARP). Address conflicts then stay unnoticed.',
  },
  {
    path: 'egressGateway.portLeaseIdleTime',
    key: 'port-lease-idle-time',
    kind: 'duration',
    fallback: '10m',
    help: 'How long a node keeps leased ports that no connection uses. Then it returns them.',
  },
  {
    path: 'egressGateway.portRange',
    key: 'port-range',
    kind: 'portRange',
    fallback: '1024-65535',
    help: 'Source ports that connections may have at an egress IP. Ports from 32768 on are used first. If your firewall admits only ports from 32768 on, set 32768-65535. If you change the range, open connections keep their ports.',
  },
  {
    path: 'egressGateway.excludedPorts',
    key: 'excluded-ports',
    kind: 'portRanges',
    fallback: '30000-32767,4791',
    help: "Ports and ranges of ports that connections never have at an egress IP. In a shell, quote the list: --set 'egressGateway.excludedPorts={30000-32767,4791,8443}'. Name every port of an egress IP that something else uses: NodePorts, externalIPs, load balancers, servers on gateways. With kubeProxyReplacement=strict, connections never get a port that a Service has there, so only servers matter. With each port, Sallyport excludes its whole block of 16 ports: 4791 excludes 4784-4799. The default is the range of NodePorts, and the UDP port that NICs with RoCE take for themselves. If you add to it, keep both. For a server, choose a port below 32768. If you exclude a port from 32768 on, no new connection gets it, but gateways may still send packets for it to the node whose share contains it (see slots), and not to the server.",
  },
  {
    path: 'egressGateway.maxPortsPerPod',
    key: 'max-ports-per-pod',
    kind: 'integer',
    fallback: '0',
    range: [0, 64512],
    help: 'Open connections that one pod may have at one egress IP, to all destinations together. Sallyport drops new connections beyond it. If 0, there is no limit. In any case, each node keeps a quarter of its ports for pods with fewer than 16 connections.',
  },
  {
    path: 'egressGateway.gatewayForwarding',
    key: 'gateway-forwarding',
    kind: 'word',
    fallback: 'fast',
    choices: ['fast', 'stack'],
    help: 'How a gateway forwards egress packets after their source is translated. With fast, only its routes apply. These do not apply: its nftables and iptables rules, its IPsec policies, and routing rules by mark or port. With stack, its network stack forwards the packets, so all these rules apply, and they see the egress IP as the source. This costs more of the gateway’s processor time.',
  },
  {
    path: 'egressGateway.egressPath',
    key: 'egress-path',
    kind: 'word',
    fallback: 'auto',
    choices: ['auto', 'tunnel'],
    help: 'How packets of pods get from their node to a gateway and back. With auto, nodes on the same layer-2 network send them without a tunnel, which is faster. They test this path with probes. If probes get no answer, they use the tunnel. With tunnel, and with gatewayForwarding=stack, nodes always put them into VXLAN packets. If the route of a node to other nodes goes into an encrypting device, for example WireGuard, or the node has IPsec policies, the agent sees that and uses the tunnel. Use tunnel if a device that the agent cannot see, for example a switch, encrypts the tunnel’s packets. With auto, packets may then be in clear text.',
  },
  {
    path: 'bpf.masquerade',
    key: 'enable-bpf-masquerade',
    kind: 'boolean',
    fallback: 'true',
    choices: ['true'],
    help: 'Traffic that no policy selects leaves with the node’s address. Only true is supported. In chained mode, the other CNI plugin chooses the address.',
  },
  {
    path: 'cni.chainingMode',
    key: 'cni-chaining-mode',
    kind: 'word',
    fallback: 'none',
    choices: ['none', 'generic-veth'],
    costOfChange:
      'Running pods then lose their network or their egress IPs until they are restarted, and new pods wait until each node has a CNI configuration for the new mode.',
    help: 'With none, Sallyport is the only CNI plugin. With generic-veth, another CNI plugin connects the pods by veth pairs, and Sallyport adds egress gateways. To change it, uninstall first.',
  },
  {
    path: 'cni.networkPolicies',
    key: 'cni-network-policies',
    kind: 'word',
    fallback: 'enforce',
    earlierFallback: 'refuse',
    choices: ['enforce', 'refuse', 'bypass'],
    help: 'With enforce, Sallyport applies egress rules of NetworkPolicies to traffic that an egress policy selects. In stand-alone mode, Sallyport applies them to all traffic to destinations outside the cluster. With refuse, if a NetworkPolicy restricts the egress of a pod, Sallyport drops all traffic of this pod that an egress policy selects. Other traffic is handled as with enforce. With bypass, NetworkPolicies do not restrict the traffic that Sallyport carries.',
  },
  {
    path: 'cni.binPath',
    key: cniKeys.binaries,
    kind: 'path',
    fallback: '/opt/cni/bin',
    help: 'Folder on each node in which the container runtime looks for CNI plugins. Do not change it after the install.',
  },
  {
    path: 'cni.confPath',
    key: cniKeys.configuration,
    kind: 'path',
    fallback: '/etc/cni/net.d',
    help: 'Folder on each node in which the container runtime looks for CNI configurations. Do not change it after the install.',
  },
  {
    path: 'l7Proxy',
    key: 'enable-l7-proxy',
    kind: 'boolean',
    fallback: 'false',
    choices: ['false'],
    help: 'This setting has no effect. Only false is accepted, because Sallyport has no L7 proxy.',
  },
  {
    path: 'devices',
    key: 'devices',
    kind: 'list',
    fallback: '',
    help: "Network devices that connect nodes to networks outside the cluster. Give names, or prefixes of names followed by +. In a shell, quote the list: --set 'devices={eth+,net+}'. By default, Sallyport uses the devices that have the node’s address or a default route.",
  },
  {
    path: 'tunnelProtocol',
    key: 'tunnel-protocol',
    kind: 'word',
    fallback: 'vxlan',
    choices: ['vxlan'],
    help: 'Encapsulation of packets between nodes. Only vxlan is supported.',
  },
  {
    path: 'tunnelPort',
    key: 'tunnel-port',
    kind: 'integer',
    fallback: '8472',
    range: [1, 65535],
    help: 'UDP port of the tunnel. Firewalls must allow it between all nodes. Choose another port if flannel or Cilium uses 8472.',
  },
  {
    path: 'health.port',
    key: healthPortKey,
    kind: 'integer',
    fallback: '9787',
    range: [1, 65535],
    help: 'TCP port on each node on which the agent answers the kubelet’s probes and serves metrics.',
  },
  {
    path: 'health.address',
    key: 'health-address',
    kind: 'word',
    fallback: '127.0.0.1',
    choices: ['127.0.0.1', '0.0.0.0', '::'],
    help: 'Address on which agents serve probes and metrics, and on which operators serve metrics. With 127.0.0.1, only the node itself can read them. With 0.0.0.0 (IPv4) or :: (IPv4 and IPv6), every host that reaches the node can. Set 0.0.0.0 or :: if Prometheus runs in the cluster. There is no authentication, and the metrics contain no secrets.',
  },
  {
    path: 'operator.metricsPort',
    key: operatorMetricsPortKey,
    kind: 'integer',
    fallback: '9788',
    range: [1, 65535],
    help: 'TCP port on which an operator serves metrics, on the node where it runs, at health.address.',
  },
  {
    path: 'mtu',
    key: 'mtu',
    kind: 'integer',
    fallback: '0',
    range: [0, 65535],
    help: 'MTU of the tunnel and, in stand-alone mode, of pods. If 0, the MTU of the nodes’ network minus the headers of the tunnel.',
  },
  {
    path: 'slots',
    key: 'slots',
    kind: 'integer',
    fallback: '512',
    range: [16, 2048],
    isPowerOfTwo: true,
    costOfChange:
      'Every node then owns other ports of each egress IP, so all open connections through egress gateways break.',
    help: 'Maximum number of nodes: a power of two from 16 to 2048. Choose more than the cluster will ever have, and do not change it after the install. Sallyport divides the ports from 32768 on, of every egress IP, into that number of equal shares. Each node has one share, its floor: 64 ports with 512 slots. It uses its floor without asking the operator. With more than 512 slots, an egress IP that is a node’s own address has no floors, so a node that needs the first ports of it waits for the operator.',
  },
  {
    path: 'stackCIDRs',
    key: 'stack-cidrs',
    kind: 'cidrs',
    fallback: '10.96.0.0/12',
    help: 'Destinations to which egress policies never apply. Set this to the range of your Services, and add the ranges of pods that are not in spec.podCIDRs of the nodes. If a range is missing, egress policies can capture traffic to these Services and pods, and sallyport preflight says so.',
  },
  {
    path: 'nonMasqueradeCIDRs',
    key: 'non-masquerade-cidrs',
    kind: 'cidrs',
    fallback: '',
    help: 'Destinations that pods reach with their own address, by the routes of the node. No egress policy applies to them.',
  },
  ...natLogSettings,
  {
    path: 'nodePortAddresses',
    key: 'node-port-addresses',
    kind: 'cidrs',
    fallback: '',
    help: 'With kubeProxyReplacement=strict, the addresses of nodes at which Services have their node ports, as prefixes. If empty, all addresses of nodes. kube-proxy has a setting with the same name and meaning.',
  },
  {
    path: 'logLevel',
    key: 'log-level',
    kind: 'word',
    fallback: 'info',
    choices: ['debug', 'info', 'warn', 'error'],
    help: 'Lowest level of the log messages that agents and operators write.',
  },
] as const satisfies readonly Setting[]
