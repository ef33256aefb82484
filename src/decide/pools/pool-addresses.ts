import type { Address } from '../../net/address.ts'
import type { Context } from '../context.ts'
import type { PoolAddress } from '../tables.ts'

/** For each address from a pool, the node and the interface that it belongs on. */
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
