import type { Address } from '../../../net/address.ts'
import type { TimelessCondition } from '../conditions.ts'
import type { ExitsSeen } from './gateway-problems.ts'

/** In chained mode, an egress IP that is a node's own address has limits that others do not have. */
export function sharedAddressConditions(
  { active }: Pick<ExitsSeen, 'active'>,
  shared: ReadonlyMap<string, readonly Address[]>,
): readonly TimelessCondition[] {
  const found = active.flat().flatMap(({ node, egressIps }) =>
    Object.values(egressIps)
      .filter((address) => shared.get(node.name)?.includes(address))
      .map((address) => `${address} (${node.name})`),
  )
  if (found.length === 0) return []
  const message = `Egress IP ${[...new Set(found)].join(' and ')} is the address of a gateway itself, whose stack uses it too. It carries TCP and UDP, not ping, and no other node can take it over. To lift these limits, give the gateway another address.`
  return [{ type: 'SharesNodeAddress', status: 'True', reason: 'ChainedMode', message }]
}
