import { existsSync } from 'node:fs'
import { resultCache } from '../kubelet/sandbox/cni.ts'
import type { RuntimeName } from '../lab-state.ts'
import { ipv4Of, type NodePlan, podNetwork } from '../layout.ts'
import { type Machine, runInside } from './host.ts'

/** CNI plugins that can connect a lab's pods, so that Sallyport is chained to them. */
export const otherPlugins = ['ptp', 'bridge'] as const
export type OtherPlugin = (typeof otherPlugins)[number]

/** The folder in which Debian installs them. */
const binaries = '/usr/lib/cni'

export function missingForPlugin(plugin: OtherPlugin): string[] {
  return existsSync(`${binaries}/${plugin}`)
    ? []
    : [`${binaries}/${plugin} is missing: run apt-get install containernetworking-plugins`]
}

/**
 * Sets up a node's network like kindnet: a plugin of the CNI project with addresses from the node's first prefix, a route to each other
 * node's pods, and masquerading by nftables of traffic that leaves the pods' network.
 */
export function setUpOtherNetwork(
  machine: Machine,
  plan: NodePlan,
  nodes: readonly NodePlan[],
  plugin: OtherPlugin,
  runtime: RuntimeName,
): void {
  /* A container runtime has its own libcni, with its own folder for results. */
  const resultFolder =
    runtime === 'containerd'
      ? ''
      : `mkdir -p /var/lib/cni ${resultCache}
mount -t tmpfs tmpfs /var/lib/cni
ln -s ${resultCache} /var/lib/cni/results`
  const routes = nodes
    .filter(({ name }) => name !== plan.name)
    .map(({ podCIDRs, lastOctet }) => `ip route add ${podCIDRs[0]} via ${ipv4Of(lastOctet)}`)
  runInside(machine, [
    'sh',
    '-ec',
    `ln -s ${binaries}/* /opt/cni/bin/
${resultFolder}
echo 1 >/proc/sys/net/ipv4/ip_forward
${routes.join('\n')}
nft -f - <<'END'
table ip masquerading {
  chain postrouting {
    type nat hook postrouting priority srcnat
    ip saddr ${plan.podCIDRs[0]} ip daddr != ${podNetwork} masquerade
  }
}
END
cat >/etc/cni/net.d/10-lab.conflist <<'END'
${JSON.stringify(networkList(plan, plugin), null, 2)}
END`,
  ])
}

function networkList({ podCIDRs }: NodePlan, plugin: OtherPlugin): object {
  const ipam = {
    type: 'host-local',
    ranges: [[{ subnet: podCIDRs[0] }]],
    routes: [{ dst: '0.0.0.0/0' }],
    dataDir: '/run/cni-addresses',
  }
  const own = plugin === 'bridge' ? { bridge: 'cni0', isGateway: true, hairpinMode: true } : {}
  return { cniVersion: '0.3.1', name: 'lab', plugins: [{ type: plugin, ipMasq: false, ...own, ipam }] }
}
