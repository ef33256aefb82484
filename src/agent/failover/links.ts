import type { Address } from '../../net/address.ts'
import { contains } from '../../net/prefix.ts'
import type { NodeDevice } from '../node/node-network.ts'

/**
 * The device that reaches the address's neighbours. A device that carries packets wins over one that only holds addresses.
 */
export function linkOf(address: Address, devices: readonly NodeDevice[]): NodeDevice | undefined {
  const candidates = devices.filter(
    ({ isUp, mac, subnets }) =>
      isUp && mac !== undefined && subnets.some((subnet) => contains(subnet, address)),
  )
  return (
    candidates.find(({ hasCarrier, kind }) => hasCarrier && kind !== 'dummy' && kind !== 'ifb') ??
    candidates[0]
  )
}
