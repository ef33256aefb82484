import type { Orders } from '../../gateways/dead-gateways.ts'
import { type Gateway, tunnelAddressOf } from '../../gateways/gateways.ts'
import type { Outage } from '../../gateways/outages.ts'
import type { Served } from '../../pools/pool-decisions.ts'
import type { TimelessCondition } from '../conditions.ts'
import { explainOutage, inFull } from './gateway-losses.ts'
import type { Problem } from './gateway-problems.ts'

/** A gateway whose interface carries no traffic. */
interface Affected {
  readonly problem: Outage['problem']
  readonly message: string
  readonly isServed: boolean
}

/** An interface without Ethernet headers is missing here. It has no egress IP, so the reason NoEgressIP reports it. */
const readyReasons = { Down: 'InterfaceDown', NoCarrier: 'InterfaceNoCarrier' } as const

function affectedGateways({ exits }: Served, orders: () => Orders): readonly Affected[] {
  const gateways = exits.flat()
  const names = new Map(gateways.map(({ node }) => [tunnelAddressOf(node), node.name]))
  const hasOthers = gateways.some(({ outage }) => outage === undefined)
  return gateways.flatMap((gateway): readonly Affected[] => {
    const { node, outage } = gateway
    if (outage === undefined) return []
    const successors = successorsOf(gateway, orders).map((each) => names.get(each) ?? each)
    const isServed = hasOthers || successors.length > 0
    const message = inFull(explainOutage(node.name, outage))
    const { problem } = outage
    if (problem === 'NoEthernetHeader') return [{ problem, message, isServed }]
    return [{ problem, message: `${message} ${effectOf(successors, isServed)}`, isServed }]
  })
}

function effectOf(successors: readonly string[], isServed: boolean): string {
  if (successors.length > 0)
    return `Node ${[...new Set(successors)].join(' and ')} answers for its egress IP.`
  return isServed
    ? 'New connections use other gateways.'
    : 'Sallyport drops the traffic that the policy selects.'
}

function successorsOf({ egressIps }: Gateway, orders: () => Orders) {
  return Object.values(egressIps).flatMap((address) => orders().get(address)?.slice(0, 1) ?? [])
}

export function outageConditions(served: Served, orders: () => Orders): readonly TimelessCondition[] {
  const affected = affectedGateways(served, orders)
  const [first] = affected
  if (first === undefined) return []
  const message = [...new Set(affected.map((each) => each.message))].join(' ')
  return [{ type: 'InterfaceUnusable', status: 'True', reason: first.problem, message }]
}

/** The policy is not ready if no other gateway carries the traffic. */
export function outageProblems(served: Served, orders: () => Orders): readonly Problem[] {
  return affectedGateways(served, orders).flatMap(({ problem, message, isServed }) =>
    isServed || problem === 'NoEthernetHeader' ? [] : [{ reason: readyReasons[problem], message }],
  )
}
