import type { World } from '../../../src/decide/world.ts'
import type { Cluster } from '../cluster.ts'
import { worldOf } from '../cluster-view.ts'
import { newsUs } from './invariant.ts'

/** Kinds of objects that an egress IP depends on. */
const deciding: ReadonlySet<string> = new Set([
  '/nodes',
  '/pods',
  'cilium.io/ciliumegressgatewaypolicies',
  'isovalent.com/isovalentegressgatewaypolicies',
])

/** States of some objects that an agent may still take for the present one. */
class RecentStates<T> {
  #states: {
    readonly text: string
    readonly id: number
    readonly value: T
    readonly sinceUs: number
    lastUs: number
  }[] = []
  #made = 0

  note(value: T, nowUs: number): void {
    const text = JSON.stringify(value)
    const [last] = this.#states.slice(-1)
    if (last !== undefined) last.lastUs = nowUs
    if (last?.text !== text) {
      /* Nobody has seen a state that lasted no time: a cluster's first moment has nodes and no policies yet. */
      if (last?.sinceUs === nowUs) this.#states.pop()
      this.#states.push({ text, id: ++this.#made, value, sinceUs: nowUs, lastUs: nowUs })
    }
    this.#states = this.#states.filter(({ lastUs }) => nowUs - lastUs <= newsUs)
  }

  /** Those that were true at some moment since then; the last is true now. */
  since(us: number): readonly { readonly id: number; readonly value: T }[] {
    return this.#states.filter(({ lastUs }, index) => lastUs >= us || index === this.#states.length - 1)
  }
}

/** What agents may take for the present: each watch comes later than it happens, and watches of two kinds are not in step. */
export class RecentWorlds {
  readonly #cluster: Cluster
  readonly #nodes = new RecentStates<Pick<World, 'nodes'>>()
  readonly #policies = new RecentStates<Pick<World, 'ciliumPolicies' | 'isovalentPolicies'>>()

  constructor(cluster: Cluster) {
    this.#cluster = cluster
    /* Every state counts, however short: an agent may have seen just that one. */
    this.listen(() => this.#note())
  }

  /** Calls at every change of something that an egress IP depends on. */
  listen(onChange: () => void): void {
    this.#cluster.api.store.listen(({ resource }) => {
      if (deciding.has(resource)) onChange()
    })
  }

  #note(): void {
    const { nodes, ciliumPolicies, isovalentPolicies } = worldOf(this.#cluster)
    const { nowUs } = this.#cluster.clock
    this.#nodes.note({ nodes }, nowUs)
    const policies = { ciliumPolicies: ciliumPolicies.map(withoutStatus), isovalentPolicies: isovalentPolicies.map(withoutStatus) } // biome-ignore format: one value
    this.#policies.note(policies, nowUs)
  }

  /** Any nodes with any policies of that time. */
  since(us: number): readonly { readonly id: string; readonly world: World }[] {
    const world = worldOf(this.#cluster)
    return this.#nodes.since(us).flatMap((nodes) =>
      this.#policies.since(us).map((policies) => ({
        id: `${nodes.id} ${policies.id}`,
        world: { ...world, ...nodes.value, ...policies.value },
      })),
    )
  }
}

/** Of a policy's status, what was given out of a pool is the only thing that decides. */
function withoutStatus<
  T extends { readonly spec: object; readonly metadata: object; readonly status?: object },
>({ metadata, status, ...policy }: T): T {
  const { name, uid, creationTimestamp } = metadata as {
    name: string
    uid: string
    creationTimestamp: string
  }
  const { groupStatuses } = (status ?? {}) as { groupStatuses?: unknown }
  return { ...policy, metadata: { name, uid, creationTimestamp }, status: { groupStatuses } } as unknown as T
}
