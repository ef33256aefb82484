import type { Address } from '../../net/address.ts'
import { contains, longestMatch } from '../../net/prefix.ts'
import type { Endpoint, ServicePort, Tables } from '../tables.ts'
import type { NodeFacts, OpeningFlow } from './expected-verdict.ts'

/* Which endpoints of a Service a flow may get, as any-service.h and outside-service.h of bpf/ choose. */

export type ServiceKey = Pick<ServicePort, 'address' | 'port' | 'protocol'>

export interface ServiceChoice {
  readonly port: ServicePort
  /** The endpoints that the flow may get. Empty if it is refused. */
  readonly eligible: readonly Endpoint[]
  /** The verdict of a flow that gets none. */
  readonly refusal?: string
}

type Facts = Pick<NodeFacts, 'isChained' | 'replacesKubeProxy' | 'lastEndpoint'>

/** Undefined: the programs leave the destination as it is, because it belongs to no Service, or kube-proxy translates that Service. */
export function serviceChoice(
  tables: Tables,
  policySet: bigint,
  flow: OpeningFlow,
  facts: Facts,
): ServiceChoice | undefined {
  const port = serviceOfFlow(tables, flow, facts)
  if (port === undefined) return undefined
  if (facts.isChained) {
    const eligible = port.endpoints.filter(({ address }) => isSelected(tables, policySet, address))
    return eligible.length === 0 ? undefined : { port, eligible }
  }
  if (port.sources !== undefined && !port.sources.some((each) => contains(each, flow.source)))
    return { port, eligible: [], refusal: 'DROP_SOURCE_RANGES' }
  const last = port.affinityMs > 0 ? facts.lastEndpoint(port) : undefined
  const members = [...port.endpoints, ...(port.clients?.local ?? [])]
  if (port.endpoints.length === 0) return { port, eligible: [], refusal: refusalTo(flow.protocol) }
  return { port, eligible: last !== undefined && members.some(isSame(last)) ? [last] : port.endpoints }
}

const isSame =
  (endpoint: Endpoint) =>
  ({ address, port }: Endpoint): boolean =>
    address === endpoint.address && port === endpoint.port

/** Also at node ports, whose rows stand for all addresses of nodes that take them. */
export function serviceOfFlow(
  { services, cluster }: Pick<Tables, 'services' | 'cluster'>,
  { destination, port, protocol }: Pick<OpeningFlow, 'destination' | 'port' | 'protocol'>,
  { isChained, replacesKubeProxy }: Pick<Facts, 'isChained' | 'replacesKubeProxy'>,
): ServicePort | undefined {
  if (!isChained && !replacesKubeProxy) return undefined
  const at = (address: string): ServicePort | undefined =>
    services.find((each) => each.address === address && each.port === port && each.protocol === protocol)
  const found = at(destination)
  if (found !== undefined || isChained) return found
  const entry = clusterDestination({ cluster }, destination)
  const takesNodePorts = entry !== undefined && 'takesNodePorts' in entry
  return takesNodePorts ? at(destination.includes(':') ? '::' : '0.0.0.0') : undefined
}

/** Whether a Service has the address, at whatever port. */
export function isOfService({ services }: Tables, address: Address): boolean {
  return services.some((each) => each.address === address && each.port === 0 && each.protocol === 0)
}

export function clusterDestination({ cluster }: Pick<Tables, 'cluster'>, address: Address) {
  const prefix = longestMatch(cluster.keys(), address)
  return prefix === undefined ? undefined : cluster.get(prefix)
}

/** Nobody answers an echo request to a Service. */
export function refusalTo(protocol: number): string {
  return [6, 17].includes(protocol) ? 'SENT_REFUSAL' : 'DROP_NO_ENDPOINT'
}

function isSelected(tables: Tables, policySet: bigint, address: Address): boolean {
  const rules = tables.rules.get(policySet)
  const prefix = longestMatch(rules?.keys() ?? [], address)
  const rule = prefix === undefined ? undefined : rules?.get(prefix)
  return rule !== undefined && rule.action !== 'exclude'
}
