import type { NodeInterface } from '../../api/egress-node.ts'
import type { Address } from '../../net/address.ts'
import type { EgressIps } from '../pools/egress-pool.ts'
import type { Exits } from './gateways.ts'

/** A gateway's interface that carries no traffic. */
export interface Outage {
  readonly interface: string
  readonly problem: NonNullable<NodeInterface['problem']>
}

/** Of the interface that has one of the addresses: new flows avoid it, and established ones leave by a successor. */
export function outageOf(egressIps: EgressIps, interfaces: readonly NodeInterface[]): Outage | undefined {
  const wanted = Object.values(egressIps).map(String)
  const out = interfaces.find(
    ({ problem, addresses, added = [] }) =>
      problem !== undefined && [...addresses, ...added].some((address) => wanted.includes(address)),
  )
  return out?.problem && { interface: out.name, problem: out.problem }
}

/** The egress IPs that the node which has them cannot answer for now, while its agent is alive. */
export function ownerlessAddresses(exits: ReadonlyMap<bigint, Exits>): ReadonlySet<Address> {
  const gateways = new Set([...exits.values()].flat(2))
  return new Set(
    [...gateways].flatMap(({ outage, egressIps }) => (outage === undefined ? [] : Object.values(egressIps))),
  )
}
