/** A ClusterIP of one TCP port. Addresses are of IPv4. */
export interface ProxiedService {
  readonly name: string
  readonly address: string
  readonly port: number
  readonly endpoints: readonly { readonly address: string; readonly port: number }[]
}

interface ProxyNode {
  readonly address: string
  readonly podNetwork: string
  readonly serviceRange: string
}

const chainOf = ({ name }: ProxiedService): string => `service-${name}/tcp/web`
const list = (elements: readonly string[]): string =>
  elements.length === 0 ? '' : `elements = { ${elements.join(', ')} }`

/**
 * What kube-proxy of Kubernetes 1.36 in mode nftables writes on a node for these Services: the same hooks, chains, sets, maps and
 * marks, in the same order. It is input for `nft -f`, and replaces the rules of an earlier call.
 */
export function kubeProxyRules(services: readonly ProxiedService[], node: ProxyNode): string {
  const hairpins = services.flatMap(({ endpoints }) =>
    endpoints.map(({ address, port }) => `${address} . ${address} . tcp . ${port}`),
  )
  const targets = ({ endpoints }: ProxiedService): string =>
    endpoints.map(({ address, port }, index) => `${index} : ${address} . ${port}`).join(', ')
  const chains = services.map(
    (each) =>
      `chain ${chainOf(each)} { meta l4proto tcp dnat ip to numgen random mod ${each.endpoints.length} map { ${targets(each)} }; }`,
  )
  return `table ip kube-proxy
delete table ip kube-proxy
table ip kube-proxy {
set hairpin-connections { type ipv4_addr . ipv4_addr . inet_proto . inet_service; ${list([...new Set(hairpins)])}; }
set cluster-ips { type ipv4_addr; ${list(services.map(({ address }) => address))}; }
set nodeport-ips { type ipv4_addr; elements = { ${node.address} }; }
map no-endpoint-services { type ipv4_addr . inet_proto . inet_service : verdict; }
map no-endpoint-nodeports { type inet_proto . inet_service : verdict; }
map firewall-ips { type ipv4_addr . inet_proto . inet_service : verdict; }
map service-nodeports { type inet_proto . inet_service : verdict; }
${chains.join('\n')}
map service-ips { type ipv4_addr . inet_proto . inet_service : verdict; ${list(
    services.map((each) => `${each.address} . tcp . ${each.port} : goto ${chainOf(each)}`),
  )}; }
chain nodeport-endpoints-check { ip daddr @nodeport-ips meta l4proto . th dport vmap @no-endpoint-nodeports; }
chain service-endpoints-check { ip daddr . meta l4proto . th dport vmap @no-endpoint-services; }
chain firewall-check { ip daddr . meta l4proto . th dport vmap @firewall-ips; }
chain cluster-ips-check { ip daddr @cluster-ips reject; ip daddr ${node.serviceRange} drop; }
chain services {
ip daddr @cluster-ips ip saddr != ${node.podNetwork} meta mark set meta mark | 0x4000
ip daddr . meta l4proto . th dport vmap @service-ips
ip daddr @nodeport-ips meta l4proto . th dport vmap @service-nodeports
}
chain masquerading {
meta mark & 0x4000 != 0 meta mark set meta mark ^ 0x4000 masquerade fully-random
ct status dnat ip saddr . ip daddr . meta l4proto . th dport @hairpin-connections masquerade fully-random
}
chain filter-prerouting-pre-dnat { type filter hook prerouting priority dstnat - 10; ct state new jump firewall-check; }
chain filter-output-pre-dnat { type filter hook output priority -110; ct state new jump firewall-check; }
chain filter-input { type filter hook input priority filter; ct state new jump nodeport-endpoints-check; ct state new jump service-endpoints-check; }
chain filter-forward { type filter hook forward priority filter; ct state new jump service-endpoints-check; ct state new jump cluster-ips-check; }
chain filter-output { type filter hook output priority filter; ct state new jump service-endpoints-check; ct state new jump cluster-ips-check; }
chain nat-prerouting { type nat hook prerouting priority dstnat; jump services; }
chain nat-output { type nat hook output priority -100; jump services; }
chain nat-postrouting { type nat hook postrouting priority srcnat; jump masquerading; }
}
`
}
