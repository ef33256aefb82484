import type { Family } from '../../net/address.ts'
import { type Address, compareAddresses } from '../../net/address.ts'
import { familyOfPrefix, type Prefix } from '../../net/prefix.ts'
import { type Context, selectingPolicies } from '../context.ts'
import {
  type Gateway,
  gatewaysForPod,
  type OpenGateways,
  openForFamily,
  zoneLabel,
} from '../gateways/gateways.ts'
import { contentId } from '../ids.ts'
import type { Group, PodEntry, Rule, Tables } from '../tables.ts'
import type { WorldPod } from '../world.ts'
import { NetworkSets } from './network-sets.ts'
import type { Policy } from './policies.ts'
import { type Claim, claimsByPrefix } from './rules.ts'
import { countSelected } from './selected-pods.ts'

interface PodTables
  extends Pick<Tables, 'podsByIp' | 'rules' | 'networkRules' | 'portLists' | 'groups' | 'selected'> {
  /** By pod: what of the NetworkPolicies that restrict it cannot be evaluated. */
  readonly networkProblems: ReadonlyMap<WorldPod, readonly string[]>
}

type Rules = ReadonlyMap<Prefix, Rule>

/** How many egress IPs of a group the datapath stores: MAX_GROUP_MEMBERS of bpf/types.h. */
export const maxMembers = 256

/** A policy that selects a pod, with the gateways that the pod's new flows may use. */
interface Choice {
  readonly policy: Policy
  readonly gateways: OpenGateways
}

/**
 * The pods of this node with their rules. A pod whose namespace has not been seen yet is left out, which keeps it
 * quarantined. Otherwise a policy that selects by namespace labels could miss the pod, and the pod's traffic would leak.
 */
export function resolvePods(context: Context): PodTables {
  const podsByIp = new Map<Address, PodEntry>()
  const rules = new Map<bigint, Rules>()
  const groups = new Map<bigint, Group>()
  const setsByChoice = new Map<string, bigint>()
  const networkSets = new NetworkSets()
  const networkProblems = new Map<WorldPod, readonly string[]>()
  const selecting: (readonly [WorldPod, readonly Policy[]])[] = []
  for (const pod of context.world.pods) {
    if (pod.hostNetwork || pod.nodeName !== context.self.name) continue
    if (!context.namespaceLabels.has(pod.namespace)) continue
    const choices = chooseGateways(context, pod)
    selecting.push([pod, choices.map(({ policy }) => policy)])
    const restrictions = context.restrictions(pod)
    const networkSet = networkSets.setOf(restrictions)
    networkProblems.set(pod, networkSet.problems)
    const isRefused = restrictions.length > 0 && context.world.settings.networkPolicies === 'refuse'
    const key = [isRefused, ...choices.map(choiceKey)].join(' ')
    const policySet = setsByChoice.get(key) ?? enterRules(choices, isRefused, rules, groups)
    setsByChoice.set(key, policySet)
    for (const address of pod.ips)
      podsByIp.set(address, { policySet, networkSet: networkSet.id, podUid: pod.uid })
  }
  return {
    ...networkSets.tables,
    ...{ podsByIp, rules, groups, networkProblems },
    selected: countSelected(selecting),
  }
}

function chooseGateways(context: Context, pod: WorldPod): readonly Choice[] {
  const zone = context.self.labels[zoneLabel]
  return selectingPolicies(context, pod).map((policy) => ({
    policy,
    gateways: gatewaysForPod(policy, context.exits.get(policy.id) ?? [], pod, zone, context.ineligible),
  }))
}

/** A key for equal choices. Pods of one node differ only under policies that give each pod one of several exits. */
function choiceKey({ policy, gateways: { active, standby } }: Choice): string {
  const own = policy.spread === 'one' ? [...active, ...standby] : []
  const exit = own.map(({ node, egressIps }) => `${node.name},${egressIps[4]},${egressIps[6]}`)
  return `${policy.id}@${exit.join(';')}`
}

/**
 * The id of a policy set is computed from its rules. Pods with equal rules share a set. A changed policy makes a new set
 * beside the old one, so no pod sees half of an edit.
 */
function enterRules(
  choices: readonly Choice[],
  isRefused: boolean,
  rules: Map<bigint, Rules>,
  groups: Map<bigint, Group>,
): bigint {
  if (choices.length === 0) return 0n
  const gatewaysByPolicy = new Map(choices.map(({ policy, gateways }) => [policy.id, gateways]))
  const claims = claimsByPrefix(choices.map(({ policy }) => policy))
  const resolved = new Map<Prefix, Rule>()
  for (const [prefix, claim] of claims)
    resolved.set(
      prefix,
      isRefused ? refuse(claim) : resolveRule(prefix, claim, gatewaysByPolicy.get(claim.policy.id), groups),
    )
  const policySet = contentId('policySet', ...[...resolved].map(describeRule).sort())
  rules.set(policySet, resolved)
  return policySet
}

/** For who wants no traffic of restricted pods at a gateway, allowed or not. What is excluded does not go there. */
function refuse({ policy, isExcluded }: Claim): Rule {
  if (isExcluded) return { action: 'exclude', policy: policy.id }
  return { action: 'drop', reason: 'DROP_NETWORK_POLICY', policy: policy.id }
}

function resolveRule(
  prefix: Prefix,
  { policy, isExcluded }: Claim,
  gateways: OpenGateways | undefined,
  groups: Map<bigint, Group>,
): Rule {
  if (isExcluded) return { action: 'exclude', policy: policy.id }
  if (policy.problems.length > 0) return { action: 'drop', reason: 'DROP_POLICY_INVALID', policy: policy.id }
  if (gateways === undefined || gateways.active.length === 0)
    return { action: 'drop', reason: 'DROP_NO_GATEWAY', policy: policy.id }
  const group = groupOf(policy, gateways, familyOfPrefix(prefix))
  if (group.preferred.length === 0) return { action: 'drop', reason: 'DROP_NO_EGRESS_IP', policy: policy.id }
  const id = contentId('group', ...group.preferred, 'standby', ...group.standby, String(group.keepsAddress))
  groups.set(id, group)
  return { action: 'egress', group: id, policy: policy.id }
}

/** An address of a pool may still belong to an unreachable gateway whose successor answers for it. */
function groupOf(policy: Policy, gateways: OpenGateways, family: Family): Group {
  const open = openForFamily(policy, gateways, family)
  const addressesOf = (of: readonly Gateway[]): readonly Address[] =>
    [...new Set(of.flatMap(({ egressIps }) => egressIps[family] ?? []))].sort(compareAddresses)
  const preferred = addressesOf(open.active).slice(0, maxMembers)
  const others = addressesOf(open.standby).filter((address) => !preferred.includes(address))
  return {
    preferred,
    standby: others.slice(0, maxMembers - preferred.length),
    keepsAddress: policy.spread === 'one',
  }
}

function describeRule([prefix, rule]: readonly [Prefix, Rule]): string {
  const what = rule.action === 'egress' ? rule.group : rule.action === 'drop' ? rule.reason : ''
  return `${prefix} ${rule.action} ${what} ${rule.policy}`
}
