import type { NetworkPolicyMode } from '../../decide/world.ts'
import type { Chain } from '../../linux/netfilter.ts'

/** Products that enforce NetworkPolicies in the kernel's netfilter, with the chains and tables that they make. */
const enforcers: readonly (readonly [name: string, pattern: RegExp])[] = [
  ['Calico', /^cali-/],
  ['kube-router', /^KUBE-(NWPLCY|ROUTER-FORWARD)/],
  ['kube-network-policies', /^(kube|kindnet)-network-policies$/],
  ['Weave Net', /^WEAVE-NPC/],
]

/**
 * Packets that a policy of ours claims leave before netfilter sees them: what is enforced there for pods that send does
 * not hold for them. Nobody should find that out by an audit, so the status says it. Kubernetes' own kind is
 * enforced by our programs unless it is to be bypassed; those of other projects are not. Enforcers that are not known here are not found.
 */
export function describeBypass(chains: readonly Chain[], mode: NetworkPolicyMode): readonly string[] {
  const kinds = mode === 'bypass' ? 'NetworkPolicies' : 'policies of other kinds than NetworkPolicy'
  const remedy =
    mode === 'bypass'
      ? 'To enforce them, set cni.networkPolicies=enforce.'
      : 'Write these rules as NetworkPolicies of Kubernetes.'
  return enforcers
    .filter(([, pattern]) => chains.some(({ table, name }) => pattern.test(name) || pattern.test(table)))
    .map(
      ([name]) =>
        `${name} enforces policies in netfilter, but packets to an egress gateway do not go through netfilter. So egress rules of ${kinds} do not apply to traffic that an egress policy selects. ${remedy}`,
    )
}
