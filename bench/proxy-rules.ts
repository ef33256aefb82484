/** One TCP Service at port 80. */
interface ProxiedService {
  readonly address: string
  readonly endpoint: string
  readonly port: number
}

/** The rule set that kube-proxy 1.36 writes in its mode nftables for Services with one endpoint, without what is for node ports. */
export function proxyRules(services: readonly ProxiedService[]): string {
  const chain = ({ address }: ProxiedService): string => `service-${address.replaceAll('.', '-')}`
  const [endpoints, addresses] = [
    new Set(services.map(({ endpoint, port }) => `${endpoint} . ${endpoint} . tcp . ${port}`)),
    services.map(({ address }) => address),
  ]
  return `table ip kube-proxy {
set hairpin-connections { type ipv4_addr . ipv4_addr . inet_proto . inet_service
elements = { ${[...endpoints].join(', ')} } }
set cluster-ips { type ipv4_addr
elements = { ${addresses.join(', ')} } }
map no-endpoint-services { type ipv4_addr . inet_proto . inet_service : verdict; }
map firewall-ips { type ipv4_addr . inet_proto . inet_service : verdict; }
chain filter-prerouting-pre-dnat { type filter hook prerouting priority dstnat - 10; policy accept; ct state new jump firewall-check; }
chain filter-forward { type filter hook forward priority filter; policy accept; ct state new jump service-endpoints-check; ct state new jump cluster-ips-check; }
chain nat-prerouting { type nat hook prerouting priority dstnat; policy accept; jump services; }
chain nat-postrouting { type nat hook postrouting priority srcnat; policy accept; jump masquerading; }
chain service-endpoints-check { ip daddr . meta l4proto . th dport vmap @no-endpoint-services; }
chain firewall-check { ip daddr . meta l4proto . th dport vmap @firewall-ips; }
${services.map((each) => `chain ${chain(each)} { meta l4proto tcp dnat ip to numgen random mod 1 map { 0 : ${each.endpoint} . ${each.port} }; }`).join('\n')}
map service-ips { type ipv4_addr . inet_proto . inet_service : verdict
elements = { ${services.map((each) => `${each.address} . tcp . 80 : goto ${chain(each)}`).join(', ')} } }
chain services {
ip daddr @cluster-ips ip saddr != 10.244.0.0/16 meta mark set meta mark | 0x00004000
ip daddr . meta l4proto . th dport vmap @service-ips
}
chain masquerading {
meta mark & 0x00004000 != 0x00000000 meta mark set meta mark ^ 0x00004000 masquerade fully-random
ct status dnat ip saddr . ip daddr . meta l4proto . th dport @hairpin-connections masquerade fully-random
}
chain cluster-ips-check { ip daddr @cluster-ips reject; ip daddr 10.96.0.0/12 drop; }
}`
}
