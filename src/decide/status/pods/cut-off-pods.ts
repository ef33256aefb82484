import type { EgressNode } from '../../../api/egress-node.ts'
import type { Exits } from '../../gateways/gateways.ts'
import type { Policy } from '../../policies/policies.ts'
import type { Selected } from '../../policies/selected-pods.ts'
import type { World } from '../../world.ts'
import type { ReasonOf, TimelessCondition } from '../conditions.ts'
import { someNames } from '../some-names.ts'

type Reason = ReasonOf<'PodsCutOff'>

/** Nodes whose pods lose all that egress policies select, whatever the policy. By node name. */
export type CutOffNodes = ReadonlyMap<string, Exclude<Reason, 'ReachesNoGateway'>>

const texts: Readonly<Record<Reason, (nodes: string) => string>> = {
  NoSlot: (nodes) =>
    `No slot is left for these nodes: ${nodes}. The Event NoSlot says what to do: kubectl describe node NAME.`,
  AddressNotOnNode: (nodes) =>
    `These nodes do not have the InternalIP of their Node objects, so gateways drop the packets of their pods: ${nodes}. The condition Connected says what to do: kubectl describe egressnode NAME.`,
  ReachesNoGateway: (nodes) =>
    `These nodes reach no gateway of the policy, although other nodes do: ${nodes}. Allow the UDP port of the tunnel between them and the gateways.`,
}

/** In the order in which a condition names them. */
const reasons = Object.keys(texts) as readonly Reason[]

/** `withoutSlot`: the names of nodes that got no slot, because there is none left. */
export function findCutOffNodes(
  { egressNodes }: Pick<World, 'egressNodes'>,
  withoutSlot: readonly string[],
): CutOffNodes {
  const isElsewhere = ({ status }: EgressNode): boolean =>
    status?.conditions?.some(
      (each) => each.type === 'Connected' && each.status === 'False' && each.reason === 'AddressNotOnNode',
    ) ?? false
  return new Map([
    ...egressNodes.filter(isElsewhere).map(({ metadata }) => [metadata.name, 'AddressNotOnNode'] as const),
    ...withoutSlot.map((name) => [name, 'NoSlot'] as const),
  ])
}

interface Given {
  readonly cutOff: CutOffNodes
  readonly nodes: World['nodes']
  readonly reports: ReadonlyMap<string, EgressNode['status']>
}

interface Sources {
  readonly exits: Exits
  readonly unhealthy: ReadonlySet<string>
  readonly selected: Selected
}

/**
 * The nodes whose pods lose all that one policy selects, by node name. A node whose agent cannot report how many pods it selects,
 * because the node has no EgressNode, is among them.
 */
export function cutOffNodesOf(
  { exits, unhealthy, selected }: Sources,
  { cutOff, nodes, reports }: Given,
): ReadonlyMap<string, Reason> {
  const healthy = exits.flat().flatMap(({ node: { name } }) => (unhealthy.has(name) ? [] : name))
  const ready = new Set(nodes.filter(({ isReady }) => isReady !== false).map(({ name }) => name))
  const reachesNone = (name: string): boolean => {
    const { unreachable = [] } = reports.get(name) ?? {}
    return healthy.length > 0 && ready.has(name) && healthy.every((gateway) => unreachable.includes(gateway))
  }
  const uncounted = [...cutOff].filter(([name]) => !reports.has(name))
  const counted = [...selected.byNode.keys()].flatMap((name) => {
    const reason = cutOff.get(name) ?? (reachesNone(name) ? 'ReachesNoGateway' : undefined)
    return reason === undefined ? [] : [[name, reason] as const]
  })
  return new Map([...uncounted, ...counted])
}

/** The remark that selected pods run on such nodes. */
export function cutOffConditions(
  { problems }: Pick<Policy, 'problems'>,
  selected: Selected,
  cutOff: ReadonlyMap<string, Reason>,
): readonly TimelessCondition[] {
  const present = reasons.filter((reason) => [...cutOff.values()].includes(reason))
  const [first] = present
  if (problems.length > 0 || first === undefined) return []
  const describe = (reason: Reason): string => {
    const names = [...cutOff].filter(([, of]) => of === reason).map(([name]) => name)
    return texts[reason](someNames(names.sort().map((name) => withPods(name, selected.byNode.get(name)))))
  }
  const message = `Sallyport drops the traffic that the policy selects of pods on some nodes. ${present.map(describe).join(' ')}`
  return [{ type: 'PodsCutOff', status: 'True', reason: first, message }]
}

function withPods(name: string, pods: number | undefined): string {
  if (pods === undefined) return `${name} (its pods are not counted)`
  return `${name} (${pods === 1 ? '1 pod' : `${pods} pods`})`
}
