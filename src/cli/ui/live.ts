import type { PageView } from '../../agent/api/local-api.ts'
import type { EgressAddress } from '../../api/egress-address.ts'
import type { EgressNode } from '../../api/egress-node.ts'
import { type Kind, kinds } from '../../api/kinds.ts'
import type { KubeClient, KubeObject } from '../../kube/client.ts'
import { clusterResource } from '../../kube/cluster-objects.ts'
import { Mirror } from '../../kube/mirror.ts'
import { abortAfter, type Clock, systemClock } from '../../runtime/clock.ts'
import type { Logger } from '../../runtime/log.ts'
import type { Moment, Picture } from '../../ui/picture.ts'
import { listAgents, type ReachedAgent } from '../see/agents.ts'
import { readTimeline } from '../see/events.ts'
import { agentMoment, drawPicture, holderMoments, type Policy, probeMoments, type Said } from './draw.ts'
import type { Pictures } from './server.ts'

/** How long to wait between two rounds of questions to all agents. Each question starts a process in the agent's pod. */
const roundMs = 5_000
/** The same after a report that a gateway is unreachable. */
const soonMs = 1_000
/** Questions at the same time. */
const maxQuestions = 8
/** An agent on a node that has failed may never answer. */
const answerWithinMs = 5_000
const maxMoments = 200

const quiet = { info: () => {}, warn: () => {} } as unknown as Logger

/**
 * Follows a cluster. Watches of the API server bring what nodes report about gateways, in the moment they report it. The agents are asked
 * in rounds, and at once after such a report.
 */
export class LiveCluster implements Pictures {
  readonly #client: KubeClient
  readonly #clock: Clock
  readonly #listeners = new Set<() => void>()
  readonly #said = new Map<string, Said>()
  /** Nodes whose agents have a question. */
  readonly #asked = new Set<string>()
  readonly #policies: readonly Mirror<Policy & KubeObject, Policy & KubeObject>[]
  readonly #nodes: Mirror<EgressNode, EgressNode>
  readonly #addresses: Mirror<EgressAddress, EgressAddress>
  #seen: Moment[] = []
  /** Moments of agents that are in it. */
  readonly #noted = new Set<string>()
  #events: readonly Moment[] = []
  readonly #failures = new Map<string, string>()
  #roundNow = new AbortController()

  constructor(client: KubeClient, clock: Clock = systemClock) {
    this.#client = client
    this.#clock = clock
    const mirror = <T extends KubeObject>(kind: Kind, isOfKind: (object: T) => T): Mirror<T, T> =>
      new Mirror<T, T>(client.resource<T>(clusterResource(kind)), {
        ...{ clock, log: quiet, trim: isOfKind, onChange: () => this.#changed() },
      })
    this.#policies = [kinds.ciliumEgressGatewayPolicy, kinds.isovalentEgressGatewayPolicy].map((kind) =>
      mirror<Policy & KubeObject>(kind, (object) => ({ ...object, kind: kind.kind })),
    )
    this.#addresses = mirror<EgressAddress>(kinds.egressAddress, (object) => object)
    this.#nodes = new Mirror<EgressNode, EgressNode>(client.resource(clusterResource(kinds.egressNode)), {
      ...{ clock, log: quiet, trim: (object) => object },
      onChange: (change) => {
        const moments = probeMoments(change?.before, change?.after, this.#now())
        this.#note(moments)
        if (moments.length > 0) this.#roundNow.abort()
        this.#changed()
      },
    })
  }

  current(): Picture {
    const mirrors = [...this.#policies, this.#nodes, this.#addresses]
    return drawPicture(
      {
        policies: this.#policies.flatMap(({ items }) => [...items.values()]),
        addresses: [...this.#addresses.items.values()],
        nodes: [...this.#nodes.items.values()],
        said: this.#said,
        timeline: [...this.#seen, ...this.#events]
          .toSorted((a, b) => (a.time < b.time ? 1 : -1))
          .slice(0, maxMoments),
        unknown: [
          ...mirrors.flatMap(({ name, failure, hasSynced }) => {
            if (failure !== undefined) return [`The list of ${name} may be old: ${failure}`]
            return hasSynced ? [] : [`The list of ${name} has not arrived yet.`]
          }),
          ...[...this.#failures].map(([what, why]) => `The ${what} cannot be read: ${why}`),
        ],
      },
      this.#now(),
    )
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  /** Runs until the signal, and does not wait for answers after it. */
  async run(signal: AbortSignal): Promise<void> {
    const stopped = new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
    const mirrors = [...this.#policies, this.#nodes, this.#addresses].map((mirror) => mirror.start(signal))
    await Promise.race([stopped, Promise.all([...mirrors, this.#askInRounds(signal)])])
  }

  async #askInRounds(signal: AbortSignal): Promise<void> {
    let isUrgent = false
    while (!signal.aborted) {
      this.#roundNow = new AbortController()
      const agents = await this.#attempt('list of agents', () => listAgents(this.#client), undefined)
      if (agents !== undefined) this.#forgetOthers(agents)
      const queue = [...(agents ?? [])]
      const askNext = async (): Promise<void> => {
        for (let agent = queue.shift(); agent !== undefined && !signal.aborted; agent = queue.shift())
          /* The others do not wait for one that did not answer. */
          if (this.#said.get(agent.node)?.failure === undefined) await this.#ask(agent, signal)
          else void this.#ask(agent, signal)
      }
      await Promise.all([this.#readEvents(), ...Array.from({ length: maxQuestions }, askNext)])
      this.#changed()
      /* A failover that has just been reported goes on. */
      const pauseMs = isUrgent ? soonMs : roundMs
      await this.#clock.sleep(pauseMs, AbortSignal.any([signal, this.#roundNow.signal])).catch(() => {})
      isUrgent = this.#roundNow.signal.aborted
    }
  }

  /** What the agent of a node without an agent has said is old. Of a deleted node it is wrong. */
  #forgetOthers(agents: readonly ReachedAgent[]): void {
    const running = new Set(agents.map(({ node }) => node))
    for (const [node, said] of this.#said) {
      if (running.has(node)) continue
      if (this.#nodes.hasSynced && !this.#nodes.items.has(node)) this.#said.delete(node)
      else this.#said.set(node, { ...said, failure: 'no agent runs there now' })
    }
  }

  async #ask(agent: ReachedAgent, stopped: AbortSignal): Promise<void> {
    if (this.#asked.has(agent.node)) return
    this.#asked.add(agent.node)
    using timeout = abortAfter(this.#clock, answerWithinMs)
    const signal = AbortSignal.any([stopped, timeout.signal])
    const before = this.#said.get(agent.node)
    try {
      const { egress, moments } = await agent.ask<PageView>('/v1/page', undefined, signal)
      const answeredAt = this.#now()
      this.#said.set(agent.node, { egress, answeredAt })
      this.#note(holderMoments(agent.node, before?.egress ?? [], egress, answeredAt))
      this.#note(
        moments
          .filter(({ id }) => this.#isNew(`${agent.node} ${id}`))
          .map((each) => agentMoment(agent.node, each)),
      )
    } catch (error) {
      const failure = error instanceof Error ? error.message : String(error)
      this.#said.set(agent.node, { egress: [], ...before, failure })
    } finally {
      this.#asked.delete(agent.node)
    }
    this.#changed()
  }

  async #readEvents(): Promise<void> {
    const events = await this.#attempt('Events', () => readTimeline(this.#client), [])
    this.#events = events.map(({ time, about, type, object, message }) => ({
      ...{ time, about, text: `${object}: ${message}`, isBad: type === 'Warning' },
    }))
  }

  async #attempt<T>(what: string, read: () => Promise<T>, otherwise: T): Promise<T> {
    try {
      const value = await read()
      this.#failures.delete(what)
      return value
    } catch (error) {
      this.#failures.set(what, error instanceof Error ? error.message : String(error))
      return otherwise
    }
  }

  #now(): string {
    return new Date(this.#clock.now()).toISOString()
  }

  #note(moments: readonly Moment[]): void {
    this.#seen = [...moments, ...this.#seen].slice(0, maxMoments)
  }

  #isNew(moment: string): boolean {
    const isNew = !this.#noted.has(moment)
    this.#noted.add(moment)
    return isNew
  }

  #changed(): void {
    for (const listener of this.#listeners) listener()
  }
}
