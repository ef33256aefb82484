import type { Condition } from '../../api/metadata.ts'
import type { Membership } from '../gateways/membership.ts'
import type { WorldNode } from '../world.ts'
import { mergeConditions, type ReasonOf, type TimelessCondition } from './conditions.ts'
import { lossConditions } from './stack-losses.ts'
import { type StackUse, stackConditions } from './stack-rules.ts'

interface NodeSeen {
  readonly node: Pick<WorldNode, 'name' | 'internalIPs' | 'lacksInternalIP'> | undefined
  readonly membership: Membership
  /** It reaches no other node through the tunnel. */
  readonly isCutOff: boolean
  /** Programs that are not where they must be, one sentence each. */
  readonly hookProblems: readonly string[]
  readonly stack: StackUse | undefined
  readonly stackLoss: ReasonOf<'ForwardingStopped'> | undefined
}

/** The conditions of a node's EgressNode: whether other nodes reach it, and what to do if they do not. */
export function nodeConditions(
  seen: NodeSeen,
  written: { readonly before: readonly Condition[]; readonly now: string },
  tunnelPort: number,
): Condition[] {
  return mergeConditions(
    written.before,
    [
      connected(seen, tunnelPort),
      ...hooks(seen),
      ...(seen.stack === undefined ? [] : stackConditions(seen.stack)),
      ...lossConditions(seen.stackLoss),
    ],
    written.now,
  )
}

/** Packets go through such a device without our program. */
function hooks({ hookProblems }: NodeSeen): readonly TimelessCondition[] {
  if (hookProblems.length === 0) return []
  return [
    {
      type: 'ProgramMissing',
      status: 'True',
      reason: 'HookTaken',
      message: `${hookProblems.join('. ')}.`.replaceAll('..', '.'),
    },
  ]
}

function connected({ node, membership, isCutOff }: NodeSeen, tunnelPort: number): TimelessCondition {
  const type = 'Connected'
  if (!membership.isMember)
    return { type, status: 'False', reason: membership.reason, message: membership.message }
  if (isCutOff)
    return {
      type,
      status: 'False',
      reason: 'ReachesNoNode',
      message: `The node reaches no other node through the tunnel, so it takes over no egress IP. Allow UDP port ${tunnelPort} between nodes.`,
    }
  if (node?.lacksInternalIP)
    return {
      type,
      status: 'True',
      reason: 'NoInternalIP',
      message: lacksInternalIP([node]),
    }
  return { type, status: 'True', reason: 'Connected', message: 'Other nodes reach this node.' }
}

/** The message about nodes whose Node objects list no InternalIP. */
export function lacksInternalIP(nodes: readonly Pick<WorldNode, 'name' | 'internalIPs'>[]): string {
  const known = nodes.map(({ name, internalIPs: [address] }) => `${name} (${address ?? 'no known address'})`)
  return `No InternalIP in status.addresses of Node ${known.join(', ')}. Other nodes use the last known address, shown in parentheses. Check the kubelet's --node-ip, or the cloud provider.`
}
