import type { Picture, Route } from './picture.ts'

/** Pods that take the same way: one row of the map. */
export interface Way {
  readonly node: string
  readonly path: string
  readonly holder: string
  readonly egressIp: string
  readonly destination: string
  readonly policy: string
  readonly action: Route['action']
  readonly pods: number
  /** The gateway does not answer the probes of this node. */
  readonly isBroken: boolean
}

export function groupRoutes({ routes, nodes }: Pick<Picture, 'routes' | 'nodes'>): readonly Way[] {
  const unreachable = new Map(nodes.map(({ name, unreachableFrom }) => [name, new Set(unreachableFrom)]))
  const ways = new Map<string, Way & { readonly names: Set<string> }>()
  for (const route of routes) {
    const { node, policy, destination, action, egressIp = '', holder = '', pod } = route
    const key = JSON.stringify([node, policy, destination, action, egressIp, holder, route.path])
    const names = ways.get(key)?.names ?? new Set<string>()
    names.add(pod)
    const isBroken =
      action === 'drop' ||
      action === 'unserved' ||
      (egressIp !== '' && (holder === '' || unreachable.get(holder)?.has(node) === true))
    ways.set(key, {
      ...{ node, holder, egressIp, destination, policy, action, isBroken, names, pods: names.size },
      path: route.path ?? (holder === node ? 'here' : ''),
    })
  }
  return [...ways.values()]
    .map(({ names: _, ...way }) => way)
    .toSorted(
      (a, b) => Number(b.isBroken) - Number(a.isBroken) || b.pods - a.pods || (a.node < b.node ? -1 : 1),
    )
}

const maxWays = 60

/** What fits on the map: broken ways first, then those with most pods. `left` is the number of the others. */
export function waysOnMap(ways: readonly Way[]): { readonly shown: readonly Way[]; readonly left: number } {
  const all = ways.filter(({ egressIp, isBroken }) => egressIp !== '' || isBroken)
  const shown = all.slice(0, maxWays)
  return { shown, left: all.length - shown.length }
}

interface Rows {
  readonly first: number
  readonly count: number
}

/** Which rows of a long table exist while this part of it is visible. Heights are pixels. */
export function visibleRows(total: number, scrollTop: number, height: number, rowHeight: number): Rows {
  const margin = 8
  const first = Math.min(Math.max(0, Math.floor(scrollTop / rowHeight) - margin), Math.max(0, total - 1))
  return { first, count: Math.min(total - first, Math.ceil(height / rowHeight) + 2 * margin) }
}

/** For example "4 s" or "3 min". */
export function ageOf(time: string, nowMs: number): string {
  const seconds = Math.max(0, Math.round((nowMs - Date.parse(time)) / 1000))
  if (seconds < 120) return `${seconds} s`
  return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`
}

/** What a screen reader says when the state of a gateway has changed. */
export function announcement(before: Picture | undefined, after: Picture): string {
  const broken = (picture: Picture | undefined): readonly string[] =>
    (picture?.nodes ?? []).filter(({ unreachableFrom }) => unreachableFrom.length > 0).map(({ name }) => name)
  const [was, is] = [broken(before), broken(after)]
  return [
    ...is.filter((name) => !was.includes(name)).map((name) => `Gateway ${name} is unreachable.`),
    ...was.filter((name) => !is.includes(name)).map((name) => `Gateway ${name} is reachable again.`),
  ].join(' ')
}
