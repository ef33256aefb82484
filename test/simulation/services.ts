import type { Address } from '../../src/net/address.ts'
import type { Cluster } from './cluster.ts'
import type { SimulatedPod } from './pods.ts'
import type { Random } from './random.ts'

/** A Service with a cluster IP, and where its endpoints are. */
export interface ServiceSpec {
  readonly name: string
  readonly address: Address
  readonly port: number
  readonly endpointPort: number
  /** Servers of the world. Undefined: the cluster's pods. */
  readonly outside: readonly Address[] | undefined
}

export const serviceSpecs: readonly ServiceSpec[] = [
  { name: 'inside', address: '10.96.7.1' as Address, port: 80, endpointPort: 8080, outside: undefined },
  {
    name: 'outside',
    address: '10.96.7.2' as Address,
    port: 80,
    endpointPort: 443,
    outside: ['203.0.113.9', '203.0.113.10'] as readonly string[] as readonly Address[],
  },
]

const syncMs = 500
const slices = '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices'

interface Listed {
  readonly addresses: readonly Address[]
  readonly sinceUs: number
}

/**
 * The Services of a seed's cluster. As Kubernetes' own controller does, it lists the pods that run as endpoints. Some of them are not ready
 * for a while.
 */
export class Services {
  readonly specs: readonly ServiceSpec[]
  readonly #cluster: Cluster
  readonly #random: Random
  readonly #unready = new Map<SimulatedPod, number>()
  /** What the EndpointSlice of the pods has had, the latest last. */
  readonly #history: Listed[] = [{ addresses: [], sinceUs: 0 }]
  /** Endpoints do not come and go any more by themselves. */
  isCalm = false

  constructor(cluster: Cluster, random: Random, specs: readonly ServiceSpec[]) {
    this.#cluster = cluster
    this.#random = random
    this.specs = specs
  }

  async begin(): Promise<void> {
    for (const spec of this.specs) {
      const { name, address, port, endpointPort, outside = [] } = spec
      const ports = (number: number): object[] =>
        ['TCP', 'UDP'].map((protocol) => ({ name: protocol.toLowerCase(), port: number, protocol }))
      await this.#cluster.api.ask('POST', '/api/v1/namespaces/default/services', {
        metadata: { name },
        spec: { clusterIP: address, ports: ports(port) },
      })
      await this.#cluster.api.ask('POST', slices, {
        metadata: { name, labels: { 'kubernetes.io/service-name': name } },
        addressType: 'IPv4',
        ports: ports(endpointPort),
        endpoints: outside.map((each) => ({ addresses: [each] })),
      })
      this.#cluster.story.tell('admin', `creates Service ${name} at ${address}`)
    }
    if (this.specs.length > 0) this.#sync()
  }

  #sync(): void {
    const { clock, pods, api, story } = this.#cluster
    clock.after(syncMs, () => this.#sync())
    const running = pods.filter((pod) => pod.isRunning)
    if (!this.isCalm && this.#random.percent(20) && running.length > 0)
      this.#unready.set(this.#random.pick(running), clock.nowUs + this.#random.within(1, 20) * 1_000_000)
    const isReady = (pod: SimulatedPod): boolean =>
      this.isCalm || (this.#unready.get(pod) ?? 0) <= clock.nowUs
    const addresses = running.filter(isReady).flatMap(({ address }) => address ?? [])
    if (addresses.join() === this.ready.join()) return
    this.#history.push({ addresses, sinceUs: clock.nowUs })
    story.tell('endpoints', addresses.join(' ') || 'none')
    const endpoints = addresses.map((each) => ({ addresses: [each] }))
    void api.ask('PATCH', `${slices}/inside`, { endpoints }, 'application/merge-patch+json').catch(() => {})
  }

  get ready(): readonly Address[] {
    return this.#history.at(-1)?.addresses ?? []
  }

  /** Every list that was true at some moment since then. */
  listsSince(us: number): readonly (readonly Address[])[] {
    return this.#history
      .filter((_, index) => (this.#history[index + 1]?.sinceUs ?? Number.POSITIVE_INFINITY) > us)
      .map(({ addresses }) => addresses)
  }
}
