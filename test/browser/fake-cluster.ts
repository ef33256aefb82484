import type { Pictures } from '../../src/cli/ui/server.ts'
import type { Moment, Picture } from '../../src/ui/picture.ts'

const gateways = ['gateway-a', 'gateway-b', 'gateway-c']
const policies = ['payments', 'partners', 'updates', 'mail']
const addressOf = (index: number): string => `192.0.2.${41 + index}`

/** Pictures of a made-up cluster, in which a test lets gateways die. */
export class FakeCluster implements Pictures {
  readonly #listeners = new Set<() => void>()
  readonly #pods: number
  readonly #workers: readonly string[]
  readonly #dead = new Set<string>()
  #timeline: readonly Moment[] = []

  constructor(pods: number, nodes: number) {
    this.#pods = pods
    this.#workers = Array.from({ length: nodes }, (_, index) => `worker-${index + 1}`)
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  kill(gateway: string): void {
    this.#dead.add(gateway)
    const now = Date.now()
    const worker = this.#workers[0] ?? ''
    const owned = gateways.indexOf(gateway)
    const [address, next] = [addressOf(owned), gateways[(owned + 1) % gateways.length]]
    const moment = (agoMs: number, about: string, text: string, isBad = false): Moment => {
      return { time: new Date(now - agoMs).toISOString(), about, text, isBad }
    }
    this.#timeline = [
      moment(
        20,
        'flows back',
        `${worker} gets packets for ${address} again, 412 ms after the last answer of the gateway that failed`,
      ),
      moment(60, 'holder changed', `${worker} sends packets of ${address} to ${next}, before to ${gateway}`),
      moment(70, 'address announced', `${next} announced ${address} on its link`),
      moment(90, 'probe lost', `${gateway} does not answer the probes of ${worker}`, true),
      ...this.#timeline,
    ]
    this.change()
  }

  change(): void {
    for (const listener of this.#listeners) listener()
  }

  current(): Picture {
    const at = new Date().toISOString()
    const holderOf = (index: number): string =>
      [0, 1, 2].map((step) => gateways[(index + step) % 3] ?? '').find((name) => !this.#dead.has(name)) ?? ''
    return {
      at,
      policies: policies.map((name, index) => ({
        ...{ kind: 'IsovalentEgressGatewayPolicy', name, ready: 'True', reason: 'GatewaysFound' },
        message: `${holderOf(index)} with ${addressOf(index % 3)}`,
        pods: Math.ceil(this.#pods / 4),
        gateways: holderOf(index),
        egressIps: addressOf(index % 3),
      })),
      addresses: gateways.map((owner, index) => ({
        ...{ address: addressOf(index), owner, holders: [holderOf(index)], isShort: false },
        leases: this.#workers.slice(0, 3).map((node) => ({ node, ports: 256 })),
        users: this.#workers.map((node) => ({ node, portsOwned: 320, flows: 41 })),
      })),
      nodes: [...this.#workers, ...gateways].map((name) => ({
        name,
        isGateway: gateways.includes(name),
        unreachableFrom: this.#dead.has(name) ? this.#workers : [],
        answeredAt: at,
      })),
      routes: Array.from({ length: this.#pods }, (_, pod) => ({
        ...{ pod: `${policies[pod % 4]}/web-${pod}`, node: this.#workers[pod % this.#workers.length] ?? '' },
        ...{
          policy: policies[pod % 4] ?? '',
          destination: `198.51.100.${(pod % 4) * 64}/26`,
          action: 'egress',
        },
        ...{
          egressIp: addressOf((pod % 4) % 3),
          holder: holderOf((pod % 4) % 3),
          path: pod % 2 === 0 ? 'link' : 'tunnel',
        },
      })),
      timeline: this.#timeline,
      unknown: [],
    }
  }
}
