import { isDeepStrictEqual } from 'node:util'
import type { EgressAddress } from '../../api/egress-address.ts'
import { type EgressNode, withoutOperatorReports } from '../../api/egress-node.ts'
import { parseAddress } from '../../net/address.ts'
import type { Tables } from '../tables.ts'

/*
 * Which changes of leases a node has to act on at once. In a large cluster some node is always requesting or confirming ports,
 * and nearly all of that concerns other nodes. The next reconciliation picks it up.
 */

/** An object before and after a change. Undefined if it did not exist then. */
interface Change<T> {
  readonly before: T | undefined
  readonly after: T | undefined
}

/** Whether this node may answer for the address, or leases ports of it. `tables`: the present ones. */
export function concernsTables(
  { before, after }: Change<EgressAddress>,
  tables: Tables | undefined,
): boolean {
  if (tables === undefined) return true
  const { slot, tunnelAddress } = tables.self
  return [before, after].some((object) => {
    const address = object && parseAddress(object.spec.address)
    if (address === undefined) return false
    const mayAnswer = tables.egressIps.get(address)?.order.includes(tunnelAddress) ?? false
    /* A person waits for the end of its connections. */
    if (object?.spec.isReleased) return true
    return mayAnswer || (object?.spec.leases ?? []).some((lease) => lease.slot === slot)
  })
}

/** What a node confirms and releases matters to nodes that wait for ports. The rest of what it reports about pods and policies matters to the operator only. */
export function concernsNode({ before, after }: Change<EgressNode>, isWaiting: boolean): boolean {
  if (before === undefined || after === undefined) return true
  const [one, other] = [split(before), split(after)]
  if (!isDeepStrictEqual(one.rest, other.rest)) return true
  return isWaiting && !isDeepStrictEqual(one.promises, other.promises)
}

function split({ metadata, spec, status = {} }: EgressNode) {
  const { confirmed, released, ...rest } = withoutOperatorReports(status)
  return { rest: { metadata, spec, rest }, promises: { confirmed, released } }
}
