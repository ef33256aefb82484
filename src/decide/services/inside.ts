import { type Prefix, parsePrefix, prefixLength } from '../../net/prefix.ts'
import type { Endpoint, Tables } from '../tables.ts'

export type IsInside = (endpoint: Pick<Endpoint, 'address'>) => boolean

/** The addresses of pods and nodes. `cluster` leaves this node's pods to the stack. */
export function insidePrefixes(cluster: Tables['cluster'], ownPods: readonly Prefix[]): readonly Prefix[] {
  const inside = [...cluster].filter(([, { kind }]) => kind === 'pods' || kind === 'node' || kind === 'host')
  return [...inside.map(([prefix]) => prefix), ...ownPods]
}

/** Whether an endpoint is a pod or a process of a node. There may be thousands of both, but prefixes have few lengths. */
export function insideFinder(inside: readonly Prefix[]): IsInside {
  const prefixes = new Set(inside)
  const lengths = new Set(inside.map(prefixLength))
  return ({ address }) =>
    [...lengths].some((length) => {
      const prefix = parsePrefix(`${address}/${length}`)
      return prefix !== undefined && prefixes.has(prefix)
    })
}
