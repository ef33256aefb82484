import type { Datapath } from '../../../datapath/datapath.ts'
import type { LinkEntry } from '../../../datapath/tables/link-tables.ts'
import type { LinkEnd } from '../../../linux/arp.ts'
import type { Address } from '../../../net/address.ts'
import { type FromProber, flagIndex, probeTimes, type ToProber } from './messages.ts'
import {
  type AgentFlags,
  type Answers,
  type ProberEffect,
  type ProberEvent,
  type ProberState,
  startOfProber,
  stepProber,
} from './prober-rules.ts'
import { timing } from './timing.ts'

/** Asks by ARP whether a node on the link is alive. */
interface LinkQuestioner extends Disposable {
  /** False if the question could not be sent. */
  ask(node: Address): boolean
  /** The addresses that have answered on the link since the last call. */
  answers(): ReadonlySet<Address>
}

/** How probes leave this node. The datapath receives the answers and writes them to `probed_gateways`. */
export interface ProbeTransport {
  send(node: Address): void
  /** Probes the link to a gateway with a packet that seems to come from one of its egress IPs. */
  sendByLink(link: ProbedLink): void
  /** Sends to no other nodes from now on. */
  keepOnly(nodes: ReadonlySet<Address>): void
  /** Throws if the device cannot be used. */
  openLink(end: LinkEnd): LinkQuestioner
}

/** A link to a gateway that is probed. */
interface ProbedLink extends Pick<LinkEntry, 'ifindex' | 'mac' | 'ownMac'> {
  readonly source: Address
  /** The last probes were answered, so the gateway may use the link in the other direction. */
  readonly isAnswered: boolean
}

type Tables = Pick<Datapath['tables'], 'liveness' | 'probed_gateways' | 'links'>

interface ProberParts {
  readonly tables: {
    readonly liveness: Pick<Tables['liveness'], 'get' | 'set'>
    readonly links: Pick<Tables['links'], 'get'>
    readonly probed_gateways: Pick<Tables['probed_gateways'], 'get' | 'set' | 'delete' | 'entries'>
  }
  readonly flags: Int32Array
  readonly transport: ProbeTransport
  readonly report: (report: FromProber) => void
  /** Of CLOCK_MONOTONIC. */
  readonly nowNs: () => bigint
}

/** Runs the prober's rules on tables and a transport. Call `tick` every `timing.tickMs`. */
export class Prober {
  readonly #parts: ProberParts
  #state: ProberState
  #link: LinkQuestioner | undefined
  /** Nodes whose link answered before the last probes. */
  #answering: readonly Address[] = []

  constructor(parts: ProberParts) {
    this.#parts = parts
    this.#state = startOfProber(parts.tables.liveness.get(0)?.alive_until_ns ?? 0n)
  }

  tick(): void {
    const [only] = this.#state.probedSinceNs.keys()
    const hasLinkAnswered = only !== undefined && this.#link?.answers().has(only) === true
    this.#step({ kind: 'tick', flags: this.#flags(), answers: this.#answers(), hasLinkAnswered })
  }

  take(message: ToProber): void {
    this.#step(message.kind === 'leave' ? { kind: 'leave', flags: this.#flags() } : message)
  }

  #step(event: ProberEvent): void {
    const { state, effects } = stepProber(this.#state, event, this.#parts.nowNs())
    this.#state = state
    for (const effect of effects) this.#apply(effect)
  }

  #flags(): AgentFlags {
    const { flags } = this.#parts
    return {
      beat: Atomics.load(flags, flagIndex.beat),
      aliveAfterAbsence: Atomics.load(flags, flagIndex.aliveAfterAbsence),
    }
  }

  /**
   * Reads the answers only if a gateway is judged or asked by ARP, because each read is a system call, twenty times a
   * second.
   */
  #answers(): ReadonlyMap<Address, Answers> {
    const { watched, link, probedSinceNs } = this.#state
    if (watched.gateways.length === 0 && link === undefined) return new Map()
    return new Map(
      [...probedSinceNs.keys()].map((node) => {
        const { answered_ns = 0n, refused_ns = 0n } = this.#parts.tables.probed_gateways.get(node) ?? {}
        return [node, { answeredNs: answered_ns, refusedNs: refused_ns }]
      }),
    )
  }

  #apply(effect: ProberEffect): void {
    const { tables, report } = this.#parts
    switch (effect.kind) {
      case 'liveness':
        tables.liveness.set(0, {
          alive_until_ns: effect.aliveUntilNs,
          probing_until_ns: effect.probingUntilNs,
        })
        return
      case 'probe':
        this.#noteProbes()
        this.#probe(effect.nodes)
        return
      case 'askLink':
        if (this.#link?.ask(effect.node)) this.#step({ kind: 'linkAsked' })
        return
      case 'openLink':
        this.#openLink(effect.link)
        return
      case 'track':
        this.#track(effect.nodes, effect.fresh)
        return
      case 'avoid':
        this.#avoid(effect.untilNs)
        return
      case 'report':
        report(effect.report)
    }
  }

  #noteProbes(): void {
    const times = probeTimes(this.#parts.flags)
    Atomics.store(times, 1, Atomics.load(times, 0))
    Atomics.store(times, 0, this.#parts.nowNs())
  }

  #probe(nodes: readonly Address[]): void {
    const { transport, report } = this.#parts
    for (const node of nodes) transport.send(node)
    const answering = nodes.filter((node) => this.#probeLink(node))
    if (answering.join() === this.#answering.join()) return
    this.#answering = answering
    report({ kind: 'links', answering })
  }

  /** Whether the last probes by the link were answered. */
  #probeLink(node: Address): boolean {
    const { tables, transport, nowNs } = this.#parts
    const link = tables.links.get(node)
    if (link?.probeSource === undefined) return false
    const isAnswered = link.answeredNs + timing.silenceNs > nowNs()
    transport.sendByLink({ ...link, source: link.probeSource, isAnswered })
    return isAnswered
  }

  #openLink(link: LinkEnd | undefined): void {
    this.#link?.[Symbol.dispose]()
    this.#link = undefined
    if (link === undefined) return
    try {
      this.#link = this.#parts.transport.openLink(link)
    } catch (error) {
      const problem = error instanceof Error ? error.message : String(error)
      this.#parts.report({ kind: 'linkFailed', problem })
      this.#step({ kind: 'linkClosed' })
    }
  }

  #track(nodes: ReadonlySet<Address>, fresh: readonly Address[]): void {
    const { tables, transport, nowNs } = this.#parts
    for (const [known] of [...tables.probed_gateways.entries()])
      if (!nodes.has(known)) tables.probed_gateways.delete(known)
    const answeredNow = { answered_ns: nowNs(), refused_ns: 0n, flapping_until_ns: 0n }
    for (const node of fresh) tables.probed_gateways.set(node, answeredNow)
    transport.keepOnly(nodes)
  }

  #avoid(untilNs: ReadonlyMap<Address, bigint>): void {
    const { probed_gateways: probed } = this.#parts.tables
    for (const [gateway, until] of untilNs) {
      const entry = probed.get(gateway)
      if (entry !== undefined && entry.flapping_until_ns !== until)
        probed.set(gateway, { ...entry, flapping_until_ns: until })
    }
  }
}
