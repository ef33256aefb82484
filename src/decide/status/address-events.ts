import type { EventText, NodesSeen, StatusSeen } from './events.ts'

/**
 * An Event if the egress IPs of new connections changed. It says from which to which, and why. The condition Ready reports
 * that there are none any more, or that there are some again.
 */
export function addressEvents(
  before: StatusSeen,
  after: StatusSeen,
  { whyNot }: Pick<NodesSeen, 'whyNot'>,
): readonly EventText[] {
  const [was, is] = [before.summary, after.summary]
  if (!was?.egressIPs || !is?.egressIPs || was.egressIPs === is.egressIPs) return []
  const [had, has] = [was.gateways, is.gateways].map((names) => names.split(', ')) as [string[], string[]]
  const lost = had.filter((name) => !has.includes(name))
  const gained = has.filter((name) => !had.includes(name))
  const conflict = after.conditions?.find(({ type }) => type === 'AddressConflict')?.message ?? ''
  const taken = was.egressIPs
    .split(', ')
    .filter(
      (address) => !is.egressIPs?.split(', ').includes(address) && conflict.includes(`address ${address} `),
    )
  const reasons = [
    ...taken.map((address) => `Another host has ${address}.`),
    ...(before.observedGeneration === after.observedGeneration ? [] : ['The policy was changed.']),
    ...lost.flatMap((name) => whyNot(name) ?? []),
    ...gained.map((name) => `Node ${name} is a gateway now.`),
  ]
  const why = reasons.length > 0 ? reasons.join(' ') : `The addresses of ${is.gateways} changed.`
  return [
    {
      type: 'Normal',
      reason: 'EgressIPChanged',
      message: `New connections leave with ${is.egressIPs} (${is.gateways}). Before, they left with ${was.egressIPs} (${was.gateways}). ${why}`,
    },
  ]
}
