import type { Address } from '../../src/net/address.ts'
import { encodeFrame, type Frame, tcpFlag } from './frames.ts'
import type { Machine } from './machine.ts'
import type { Network } from './network.ts'
import type { SimulatedPod } from './pods.ts'
import type { Random } from './random.ts'
import type { ServiceSpec } from './services.ts'
import type { VirtualClock } from './virtual-clock.ts'

/** Servers of the world, of which policies claim some. */
export const servers = [
  '203.0.113.9',
  '203.0.113.10',
  '198.51.100.7',
] as readonly string[] as readonly Address[]

/** The world answers after so long. */
const thinkMs = 1
const longFlowsPerPod = 2
const sendEveryMs = 250
const openEveryMs = 1_000

/** A connection of a pod's, or an exchange of datagrams. */
export class Flow {
  readonly id: number
  readonly pod: SimulatedPod
  readonly protocol: 'tcp' | 'udp'
  readonly sourcePort: number
  /** Where the pod sends: to a server, or to the address of a Service. */
  readonly destination: Address
  readonly destinationPort: number
  readonly service: ServiceSpec | undefined
  readonly isLong: boolean
  readonly openedAtUs: number
  /** Address and port with which the world saw it first. */
  egress: { readonly address: Address; readonly port: number } | undefined
  /** Of the Service: the one that got its last packet. */
  endpoint: { readonly address: Address; readonly port: number } | undefined
  isEstablished = false
  sent = 0
  arrived = 0
  answered = 0
  arrivedAtUs = 0
  answeredAtUs = 0
  sentAtUs = 0
  /** How its last packet that did not arrive ended, as far as a program has said. */
  lastEnd: string | undefined

  constructor(
    fields: Pick<
      Flow,
      | 'id'
      | 'pod'
      | 'protocol'
      | 'sourcePort'
      | 'destination'
      | 'destinationPort'
      | 'service'
      | 'isLong'
      | 'openedAtUs'
    >,
  ) {
    this.id = fields.id
    this.pod = fields.pod
    this.protocol = fields.protocol
    this.sourcePort = fields.sourcePort
    this.destination = fields.destination
    this.destinationPort = fields.destinationPort
    this.service = fields.service
    this.isLong = fields.isLong
    this.openedAtUs = fields.openedAtUs
  }

  get name(): string {
    return `flow ${this.id} of ${this.pod.name} (${this.protocol} ${this.sourcePort} to ${this.destination})`
  }
}

export interface TrafficListener {
  readonly onSent: (flow: Flow) => void
  /** A packet reached the world, and with which address. */
  readonly onArrival: (flow: Flow, frame: Frame, by: Machine) => void
  /** A packet reached a server: one of the world, or the pod that it came to. */
  readonly onServed: (flow: Flow, frame: Frame, at: SimulatedPod | undefined) => void
  readonly onAnswer: (flow: Flow, frame: Frame) => void
  readonly onEnd: (flow: Flow, machine: Machine, program: string, verdict: string) => void
}

/** What pods send, and what the world answers. */
export class Traffic {
  readonly flows = new Map<number, Flow>()
  /** Pods call them as often as servers. */
  services: readonly ServiceSpec[] = []
  readonly #clock: VirtualClock
  readonly #random: Random
  readonly #network: () => Network
  readonly #listener: TrafficListener
  readonly #nextPorts = new Map<string, number>()
  readonly #pods = new Set<SimulatedPod>()
  #made = 0

  constructor(held: {
    clock: VirtualClock
    random: Random
    network: () => Network
    listener: TrafficListener
  }) {
    this.#clock = held.clock
    this.#random = held.random
    this.#network = held.network
    this.#listener = held.listener
  }

  /** Keeps the pod's connections busy until it ends. */
  begin(pod: SimulatedPod): void {
    this.#pods.add(pod)
    const send = (): void => {
      if (pod.isGone) {
        this.#forget(pod)
        return
      }
      this.#clock.after(sendEveryMs, send)
      if (!pod.isRunning) return
      const long = [...this.flows.values()].filter((flow) => flow.pod === pod && flow.isLong)
      for (const flow of long) this.send(flow)
      if (long.length < longFlowsPerPod) this.send(this.open(pod, true))
    }
    const open = (): void => {
      if (pod.isGone) return
      this.#clock.after(openEveryMs, open)
      if (pod.isRunning) this.send(this.open(pod, false))
      for (const [id, flow] of this.flows)
        if (flow.pod === pod && !flow.isLong && this.#clock.nowUs - flow.openedAtUs > 10_000_000)
          this.flows.delete(id)
    }
    this.#clock.after(this.#random.next() * sendEveryMs, send)
    this.#clock.after(this.#random.next() * openEveryMs, open)
  }

  #forget(pod: SimulatedPod): void {
    this.#pods.delete(pod)
    for (const [id, flow] of this.flows) if (flow.pod === pod) this.flows.delete(id)
  }

  /** `isToOneServer`: ports to different servers are not in each other's way. */
  open(pod: SimulatedPod, isLong: boolean, isToOneServer = false): Flow {
    const port = this.#nextPorts.get(pod.name) ?? 20_000
    this.#nextPorts.set(pod.name, port + 1)
    const service = isToOneServer ? undefined : this.#drawService()
    const flow = new Flow({
      id: ++this.#made,
      pod,
      protocol: this.#random.percent(60) ? 'tcp' : 'udp',
      sourcePort: port,
      destination: service?.address ?? (isToOneServer ? servers[0]! : this.#random.pick(servers)),
      destinationPort: service?.port ?? 443,
      service,
      isLong,
      openedAtUs: this.#clock.nowUs,
    })
    this.flows.set(flow.id, flow)
    return flow
  }

  #drawService(): ServiceSpec | undefined {
    const { services } = this
    return services.length > 0 && this.#random.percent(50) ? this.#random.pick(services) : undefined
  }

  /** The next packet of a flow; of a connection that has no answer yet, its SYN again. */
  send(flow: Flow): void {
    const { pod, protocol, sourcePort, destination, destinationPort, id } = flow
    if (pod.address === undefined || pod.ifindex === undefined) return
    flow.sent++
    flow.sentAtUs = this.#clock.nowUs
    this.#listener.onSent(flow)
    const bytes = encodeFrame({
      source: pod.address,
      destination,
      protocol,
      sourcePort,
      destinationPort,
      flow: id,
      sequence: flow.sent,
      flags: flow.isEstablished ? ['ACK'] : ['SYN'],
    })
    this.#network().leavePod(pod.machine, pod.ifindex, bytes)
  }

  /** A packet has reached a server, which answers to whom it came from. */
  reachWorld(frame: Frame, by: Machine): void {
    const flow = this.flows.get(frame.flow)
    if (flow === undefined) return
    flow.arrived++
    flow.arrivedAtUs = this.#clock.nowUs
    this.#listener.onArrival(flow, frame, by)
    this.#listener.onServed(flow, frame, undefined)
    this.#clock.after(thinkMs, () => this.#network().enter(frame.source, answerTo(frame)))
  }

  /** A packet has reached a pod that is an endpoint of a Service. */
  #reachEndpoint(flow: Flow, frame: Frame, pod: SimulatedPod): void {
    flow.arrived++
    flow.arrivedAtUs = this.#clock.nowUs
    this.#listener.onServed(flow, frame, pod)
    this.#clock.after(thinkMs, () => {
      if (pod.isRunning && pod.ifindex !== undefined)
        this.#network().leavePod(pod.machine, pod.ifindex, answerTo(frame))
    })
  }

  reachPod(frame: Frame, machine: Machine, ifindex: number): void {
    const flow = this.flows.get(frame.flow)
    if (flow === undefined) return
    if (flow.service !== undefined && frame.destinationPort !== flow.sourcePort) {
      const pod = [...this.#pods].find((each) => each.machine === machine && each.ifindex === ifindex)
      if (pod !== undefined && !pod.isGone) this.#reachEndpoint(flow, frame, pod)
      return
    }
    if (flow.pod.machine !== machine || flow.pod.ifindex !== ifindex) return
    flow.answered++
    flow.answeredAtUs = this.#clock.nowUs
    flow.isEstablished = true
    this.#listener.onAnswer(flow, frame)
  }

  end(frame: Frame, machine: Machine, program: string, verdict: string): void {
    const flow = this.flows.get(frame.flow)
    if (flow === undefined) return
    flow.lastEnd = `${machine.name} ${program} ${verdict}`
    this.#listener.onEnd(flow, machine, program, verdict)
  }
}

function answerTo({ source, destination, sourcePort, destinationPort, ...frame }: Frame): Buffer {
  return encodeFrame({
    ...frame,
    source: destination,
    destination: source,
    sourcePort: destinationPort,
    destinationPort: sourcePort,
    flags: frame.flags & tcpFlag.syn ? ['SYN', 'ACK'] : ['ACK'],
  })
}
