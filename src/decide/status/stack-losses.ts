import type { EgressNode } from '../../api/egress-node.ts'
import { type Exits, namesOfServing } from '../gateways/gateways.ts'
import type { ReasonOf, TimelessCondition } from './conditions.ts'
import type { Problem } from './policy-conditions/gateway-problems.ts'
import { someNames } from './some-names.ts'

/*
 * With gatewayForwarding=stack, the stack of a gateway gets translated packets, and its rules may drop them or change their source
 * address. The agent cannot judge rules, so it compares how many packets the programs give to the stack and how many leave.
 */

type StackLoss = ReasonOf<'ForwardingStopped'>

/** What the programs have counted so far. */
interface HandedPackets {
  /** Packets that the stack got. */
  readonly handed: bigint
  /** Packets that left the stack with their egress IP. */
  readonly left: bigint
  /** Packets that were dropped because they left the stack with another address. */
  readonly changed: bigint
}

/** What a node knows of the packets that its stack forwards. */
export interface StackWatch {
  readonly counted: HandedPackets | undefined
  /** Since a packet left: how many the stack got, and how many of them had another address. */
  readonly handedInVain: bigint
  readonly changedInVain: bigint
  readonly loss: StackLoss | undefined
  /** When the last packet was counted. */
  readonly seenMs: number
}

export const startOfWatch: StackWatch = {
  counted: undefined,
  handedInVain: 0n,
  changedInVain: 0n,
  loss: undefined,
  seenMs: 0,
}

/** A few packets can be lost for other reasons, for example while the kernel looks for a neighbour. */
const lostPackets = 5n
/** Without any packet nothing shows whether the rules are still the same. */
const forgetMs = 300_000

/** `left` of the present counts must have been read after `handed`. Otherwise packets on their way look lost. */
export function watchStack(before: StackWatch, counted: HandedPackets, nowMs: number): StackWatch {
  const { counted: last } = before
  const isFirst = last === undefined || counted.handed < last.handed || counted.left < last.left
  if (isFirst) return { ...startOfWatch, counted, seenMs: nowMs }
  const handed = counted.handed - last.handed
  const left = counted.left - last.left
  const changed = counted.changed - last.changed
  if (handed === 0n && left === 0n)
    return nowMs - before.seenMs < forgetMs
      ? { ...before, counted }
      : { ...startOfWatch, counted, seenMs: nowMs }
  const seen = { counted, seenMs: nowMs }
  if (left > 0n) return { ...startOfWatch, ...seen, loss: changed > 0n ? 'SomeAddressesChanged' : undefined }
  const handedInVain = before.handedInVain + handed
  const changedInVain = before.changedInVain + changed
  const lost = changedInVain > 0n ? 'AddressChanged' : 'NothingLeaves'
  return { ...seen, handedInVain, changedInVain, loss: handedInVain >= lostPackets ? lost : before.loss }
}

const texts: Readonly<Record<StackLoss, string>> = {
  AddressChanged:
    'Rules of the node change the source address of egress packets that its stack forwards. Sallyport drops these packets, and none leaves. Add iifname != "sallyport-fwd" to these rules.',
  SomeAddressesChanged:
    'Rules of the node change the source address of some egress packets that its stack forwards. Sallyport drops these packets. Add iifname != "sallyport-fwd" to these rules.',
  NothingLeaves:
    'No egress packet leaves the node. Sallyport gives them to the stack (egressGateway.gatewayForwarding=stack), whose rules drop them. Check that nftables, iptables, IPsec policies and routing rules of the node let egress IPs pass.',
}

/** Of the node's EgressNode. */
export function lossConditions(loss: StackLoss | undefined): readonly TimelessCondition[] {
  if (loss === undefined) return []
  return [{ type: 'ForwardingStopped', status: 'True', reason: loss, message: texts[loss] }]
}

/** Gateways that new connections of a policy use, each with what its node reports. */
function lossesOf(active: Exits, reports: ReadonlyMap<string, EgressNode['status']>) {
  return namesOfServing(active).map((gateway) => {
    const told = reports.get(gateway)?.conditions?.find(({ type }) => type === 'ForwardingStopped')
    return { gateway, reason: told?.reason, message: told?.message }
  })
}

type Losses = ReturnType<typeof lossesOf>

/** The policy is not ready if the rules of all its gateways stop all packets. */
export function lossProblems(...seen: Parameters<typeof lossesOf>): readonly Problem[] {
  const found = lossesOf(...seen)
  const isStopped = ({ reason }: Losses[number]) => reason !== undefined && reason !== 'SomeAddressesChanged'
  if (found.length === 0 || !found.every(isStopped)) return []
  return [{ reason: 'ForwardingStopped', message: explain(found) }]
}

export function policyLossConditions(...seen: Parameters<typeof lossesOf>): readonly TimelessCondition[] {
  const found = lossesOf(...seen).filter(({ reason }) => reason !== undefined)
  const [first] = found
  if (first === undefined) return []
  const reason = first.reason as StackLoss
  return [{ type: 'ForwardingStopped', status: 'True', reason, message: explain(found) }]
}

function explain(losses: Losses): string {
  return someNames(
    losses.map(({ gateway, message }) => `Gateway ${gateway}: ${message}`),
    ' ',
  )
}
