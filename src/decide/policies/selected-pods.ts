import type { EgressNode, SelectedPods } from '../../api/egress-node.ts'
import { type Family, familyOf } from '../../net/address.ts'
import { familyOfPrefix } from '../../net/prefix.ts'
import type { World, WorldPod } from '../world.ts'
import type { Policy } from './policies.ts'

type Named = Pick<Policy, 'kind' | 'name'>
type FamilyName = SelectedPods['families'][number]

const familyName = (family: Family): FamilyName => `IPv${family}`

export const policyKey = ({ kind, name }: Named): string => `${kind} ${name}`

/**
 * How many of this node's pods each policy selects. Each node counts its own, because no process watches the pods of all
 * nodes.
 */
export function countSelected(
  pods: readonly (readonly [WorldPod, readonly Named[]])[],
): readonly SelectedPods[] {
  const counts = new Map<string, { pods: number; readonly families: Set<FamilyName> }>()
  for (const [{ ips }, policies] of pods)
    for (const policy of policies) {
      const count = counts.get(policyKey(policy)) ?? { pods: 0, families: new Set() }
      counts.set(policyKey(policy), count)
      count.pods++
      for (const ip of ips) count.families.add(familyName(familyOf(ip)))
    }
  return [...counts]
    .map(([policy, { pods: number, families }]) => ({ policy, pods: number, families: [...families].sort() }))
    .sort((a, b) => (a.policy < b.policy ? -1 : 1))
}

/** The pods that a policy selects, from the reports of all nodes. */
export interface Selected {
  readonly pods: number
  readonly families: ReadonlySet<FamilyName>
  /** How many of them run on which node. */
  readonly byNode: ReadonlyMap<string, number>
}

interface Reports {
  /** By the policy's kind and name. */
  readonly byPolicy: ReadonlyMap<string, Selected>
  /** Whether every node with an agent has reported. */
  readonly isComplete: boolean
}

const nothing: Selected = { pods: 0, families: new Set(), byNode: new Map() }

/** Reports of deleted nodes do not count. Their last reports may still exist. */
export function sumSelected({ nodes, egressNodes }: Pick<World, 'nodes' | 'egressNodes'>): Reports {
  const present = new Set(nodes.map(({ name }) => name))
  const reports = egressNodes.filter(({ metadata }) => present.has(metadata.name))
  const byPolicy = new Map<string, { pods: number; families: Set<FamilyName>; byNode: Map<string, number> }>()
  for (const { metadata, status } of reports)
    for (const { policy, pods, families } of status?.selected ?? []) {
      const sum = byPolicy.get(policy) ?? { pods: 0, families: new Set(), byNode: new Map() }
      byPolicy.set(policy, sum)
      sum.pods += pods
      sum.byNode.set(metadata.name, pods)
      for (const family of families) sum.families.add(family)
    }
  const withAgent = reports.filter(({ status }: EgressNode) => status?.interfaces !== undefined)
  const isComplete = withAgent.length > 0 && withAgent.every(({ status }) => status?.selected !== undefined)
  return { byPolicy, isComplete }
}

export function selectedBy({ byPolicy }: Reports, policy: Named): Selected {
  return byPolicy.get(policyKey(policy)) ?? nothing
}

/** Policies that have selectors but select no pod of any node. */
export function policiesWithoutPods(
  world: Pick<World, 'nodes' | 'egressNodes'>,
  policies: readonly Policy[],
): readonly string[] {
  const reports = sumSelected(world)
  if (!reports.isComplete) return []
  return policies
    .filter((policy) => policy.selections.length > 0 && selectedBy(reports, policy).pods === 0)
    .map(policyKey)
}

/** The address families of the pods that a policy selects. If it selects none, the families of the nodes' pod CIDRs. */
export function podFamilies({ pods, families }: Selected, nodes: World['nodes']): ReadonlySet<FamilyName> {
  if (pods > 0) return families
  return new Set(
    nodes.flatMap(({ podCIDRs }) => podCIDRs.map((prefix) => familyName(familyOfPrefix(prefix)))),
  )
}
