import type { NodeInterface } from '../../api/egress-node.ts'
import type { Address } from '../../net/address.ts'
import type { EgressIps } from '../pools/egress-pool.ts'
import type { Exits } from './gateways.ts'

/** A gateway's interface that carries no traffic. */
export interface Outage {
  readonly interface: string
  readonly problem: NonNullable<NodeInterface['problem']>
}

/** The outage of the interface that has one of the addresses. New flows avoid it, and established flows use a successor. */
export function outageOf(egressIps: EgressIps, interfaces: readonly NodeInterface[]): Outage | undefined {
  const wanted = Object.values(egressIps).map(String)
  const out = interfaces.find(
    ({ problem, addresses, added = [] }) =>
      problem !== undefined && [...addresses, ...added].some((address) => wanted.includes(address)),
  )
  return out?.problem && { interface: out.name, problem: out.problem }
}

/** The egress IPs whose node is alive, but cannot answer for them because the interface carries no traffic. */
export function ownerlessAddresses(exits: ReadonlyMap<bigint, Exits>): ReadonlySet<Address> {
  const gateways = new Set([...exits.values()].flat(2))
  return new Set(
    [...gateways].flatMap(({ outage, egressIps }) => (outage === undefined ? [] : Object.values(egressIps))),
  )
}
