import { type Address, familyOf } from '../../net/address.ts'
import { contains } from '../../net/prefix.ts'
import type { Endpoint } from '../tables.ts'
import type { NamedPort, World, WorldEndpoint, WorldService } from '../world.ts'
import { type ClientPlace, endpointsForPlace } from './topology.ts'

interface UsableEndpoints {
  /** For new flows. */
  readonly endpoints: readonly Endpoint[]
  /** Only open flows go on to them: they are about to end, or hints keep them for clients elsewhere. */
  readonly leaving: readonly Endpoint[]
}

type OfService = Pick<WorldService, 'namespace' | 'name' | 'isLocal'>

export type EndpointsOf = (service: OfService, address: Address, port: NamedPort) => UsableEndpoints

/**
 * Finds the endpoints that new flows get, by kube-proxy's rule: the ready endpoints, or, if none is ready, the terminating endpoints that
 * still serve. If the Service is local, only endpoints on this node count. Otherwise those that hints keep for clients elsewhere take no
 * new flows. Without a `place`, hints do not count.
 */
export function endpointFinder(world: World, place?: ClientPlace): EndpointsOf {
  const byService = Map.groupBy(world.endpoints ?? [], (each) => `${each.namespace}/${each.service}`)
  const isHere = placeFinder(world)
  return ({ namespace, name, isLocal }, address, { name: portName, protocol }) => {
    const found = (byService.get(`${namespace}/${name}`) ?? []).flatMap((slice) => {
      const port = slice.ports.find((each) => each.name === portName && each.protocol === protocol)?.port
      return port === undefined ? [] : slice.endpoints.map((each) => ({ ...each, port }))
    })
    const usable = found
      .filter((each) => familyOf(each.address) === familyOf(address) && (!isLocal || isHere(each)))
      .toSorted((a, b) => (a.address < b.address ? -1 : Number(a.address > b.address)) || a.port - b.port)
    const ready = usable.filter(({ isEnding }) => !isEnding)
    const ending = usable.filter(({ isEnding }) => isEnding)
    if (ready.length === 0) return { endpoints: distinct(ending), leaving: [] }
    const here = place === undefined || isLocal ? ready : endpointsForPlace(ready, place)
    const others = [...ready.filter((each) => !here.includes(each)), ...ending]
    return { endpoints: distinct(here), leaving: distinct(others) }
  }
}

/** Whether an endpoint is on this node. An EndpointSlice that a user wrote may lack the node. Then the endpoint's address decides. */
function placeFinder({ self, nodes }: World): (endpoint: WorldEndpoint) => boolean {
  const { podCIDRs = [], internalIPs = [] } = nodes.find(({ name }) => name === self) ?? {}
  return ({ node, address }) =>
    node === undefined
      ? internalIPs.includes(address) || podCIDRs.some((each) => contains(each, address))
      : node === self
}

/** An endpoint that moves from one slice to another is in both for a moment. */
function distinct(endpoints: readonly Endpoint[]): readonly Endpoint[] {
  return [
    ...new Map(endpoints.map(({ address, port }) => [`${address} ${port}`, { address, port }])).values(),
  ]
}
