import type { Address } from '../../src/net/address.ts'
import { macBytes } from '../../src/net/mac.ts'
import { decodeFrame, type Frame, probe } from './frames.ts'
import type { Machine, Outcome } from './machine.ts'
import type { Random } from './random.ts'
import type { VirtualClock } from './virtual-clock.ts'
import { Router, Wires } from './wires.ts'

/** VNIs, as enum tunnel of bpf/types.h has them. */
export const vni = { pod: 1, outward: 2, returning: 3, probe: 4, probeAnswer: 5, probeRefusal: 6 } as const

const macLength = 6
/** Frames to the world have no MACs. */
const noMac = Buffer.alloc(macLength)
const isForMachine = (frame: Buffer): boolean => !frame.subarray(0, macLength).equals(noMac)

export interface NetworkListener {
  /** A packet left the cluster by that machine. */
  readonly onWorld: (frame: Frame, by: Machine) => void
  /** A packet reached the pod that a device leads to. */
  readonly onPod: (frame: Frame, machine: Machine, ifindex: number) => void
  /** A program dropped a packet, or left it to the stack. */
  readonly onEnd: (frame: Frame, machine: Machine, program: string, verdict: string) => void
  /** A program has run, and may have told of a crowded pool. */
  readonly onRun: (machine: Machine) => void
}

/**
 * The machines' link, their tunnels, and the world behind the router. Every packet goes from program to program, as each of them
 * says.
 */
export class Network {
  readonly wires: Wires
  readonly router: Router
  readonly #machines: Map<string, Machine>
  readonly #listener: NetworkListener

  constructor(
    clock: VirtualClock,
    random: Random,
    machines: Map<string, Machine>,
    listener: NetworkListener,
  ) {
    this.#machines = machines
    this.#listener = listener
    this.wires = new Wires(clock, random.fork('wires'))
    this.router = new Router({
      clock,
      random: random.fork('router'),
      machines: () => machines.values(),
      wires: this.wires,
    })
  }

  /** A pod sends. */
  leavePod(machine: Machine, ifindex: number, bytes: Buffer): void {
    if (!machine.isMoving) return
    const outcome = machine.run('from_pod', ifindex, bytes)
    if (outcome === undefined) {
      this.#end(bytes, machine, 'from_pod', 'NOT_ATTACHED')
      return
    }
    this.#listener.onRun(machine)
    this.#follow(machine, 'from_pod', outcome)
  }

  /** The world sends to an egress IP. */
  enter(destination: Address, bytes: Buffer): void {
    const machine = this.router.find(destination)
    if (machine === undefined) return
    this.wires.carry('link', 'world', machine.name, () => {
      if (!machine.isMoving) return
      const outcome = machine.run('from_world', machine.uplink, bytes)
      if (outcome === undefined) return this.#end(bytes, machine, 'from_world', 'NOT_ATTACHED')
      this.#follow(machine, 'from_world', outcome)
    })
  }

  /** One probe of an agent's. */
  probe(from: Machine, to: Address): void {
    this.#tunnel(from, to, vni.probe, probe)
  }

  /** One probe of the path without a tunnel. */
  probeLink(from: Machine, bytes: Buffer): void {
    this.#direct(from, bytes)
  }

  /** An address is announced on the link. */
  announce(from: Machine, address: Address): void {
    if (!from.isMoving) return
    this.wires.carry('link', from.name, 'world', () => this.router.hear(address, from))
  }

  /** A question of one machine's by ARP; `onAnswer` is called if a machine has the address. */
  ask(from: Machine, address: Address, onAnswer: () => void): void {
    const to = this.#ownerOf(address)
    if (to === undefined || !from.isMoving) return
    this.wires.carry('link', from.name, to.name, () => {
      if (to.isMoving) this.wires.carry('link', to.name, from.name, onAnswer)
    })
  }

  /** The machine that other machines reach by an address of the link. */
  #ownerOf(address: Address): Machine | undefined {
    return [...this.#machines.values()].find((machine) => machine.isOn && machine.address === address)
  }

  #follow(machine: Machine, program: string, outcome: Outcome): void {
    const { result, out } = outcome
    const { verdict, departure } = result
    if (!verdict.startsWith('SENT_')) {
      this.#end(out, machine, program, verdict)
      return
    }
    switch (departure) {
      case 'DEPARTED_INTO_TUNNEL':
        this.#tunnel(machine, result.sentNode, result.sentVni, out)
        return
      case 'DEPARTED_BY_DEVICE':
        if (isForMachine(out)) this.#direct(machine, out)
        else this.wires.carry('link', machine.name, 'world', () => this.#reachWorld(machine, out))
        return
      case 'DEPARTED_TO_POD': {
        const frame = decodeFrame(out)
        if (frame !== undefined) this.#listener.onPod(frame, machine, result.sentIfindex)
        return
      }
      default:
        this.#end(out, machine, program, `${verdict} to nowhere`)
    }
  }

  #reachWorld(by: Machine, bytes: Buffer): void {
    const frame = decodeFrame(bytes)
    if (frame !== undefined) this.#listener.onWorld(frame, by)
  }

  #tunnel(from: Machine, to: Address, id: number, bytes: Buffer): void {
    const target = this.#ownerOf(to)
    if (target === undefined || !from.isMoving) return
    this.wires.carry('tunnel', from.name, target.name, () => {
      const overlay = target.isMoving ? target.overlay : undefined
      if (overlay === undefined) return
      const outcome = target.run('from_overlay', overlay, bytes, { vni: id, from: from.address })
      if (outcome !== undefined) this.#follow(target, 'from_overlay', outcome)
    })
  }

  /** To the machine that has the frame's MAC. The kernel tells a program whether a frame was for this host, here as for MACs of zeros. */
  #direct(from: Machine, bytes: Buffer): void {
    const target = [...this.#machines.values()].find(
      (machine) => machine.isOn && macBytes(machine.mac).equals(bytes.subarray(0, macLength)),
    )
    if (target === undefined || !from.isMoving) return
    this.wires.carry('direct', from.name, target.name, () => {
      if (!target.isMoving) return
      const frame = Buffer.concat([noMac, bytes.subarray(macLength)])
      const outcome = target.run('from_world', target.uplink, frame)
      if (outcome === undefined) return this.#end(frame, target, 'from_world', 'NOT_ATTACHED')
      this.#follow(target, 'from_world', outcome)
    })
  }

  #end(bytes: Buffer, machine: Machine, program: string, verdict: string): void {
    const frame = decodeFrame(bytes)
    if (frame !== undefined) this.#listener.onEnd(frame, machine, program, verdict)
  }
}
