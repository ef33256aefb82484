import type { Address } from '../../net/address.ts'
import type { Context } from '../context.ts'
import type { PoolAddress } from '../tables.ts'

/** Which node is to have each address that was given from a pool, and on which interface. */
export function resolvePoolAddresses({ policies, exits }: Context): ReadonlyMap<Address, PoolAddress> {
  const found = new Map<Address, PoolAddress>()
  for (const policy of policies)
    for (const [which, { address: choice }] of policy.exits.entries()) {
      if (choice.by !== 'pool') continue
      for (const { node, egressIps } of exits.get(policy.id)?.[which] ?? [])
        for (const address of Object.values(egressIps))
          if (!found.has(address)) found.set(address, { node: node.name, interface: choice.interface })
    }
  return found
}
