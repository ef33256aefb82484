import type { WorldNode } from '../../world.ts'
import type { TimelessCondition } from '../conditions.ts'
import { lacksInternalIP } from '../node-conditions.ts'

/** Every policy gets this condition, because its pods and gateways may be on any node. */
export function addressConditions(nodes: readonly WorldNode[]): readonly TimelessCondition[] {
  const lacking = nodes.filter(
    ({ internalIPs, lacksInternalIP }) => lacksInternalIP || internalIPs.length === 0,
  )
  if (lacking.length === 0) return []
  return [
    {
      type: 'NodesWithoutAddress',
      status: 'True',
      reason: 'NoInternalIP',
      message: lacksInternalIP(lacking),
    },
  ]
}
