import type { WireKind } from '../wires.ts'
import { type Fault, type FaultContext, type MakeFault, seconds } from './fault.ts'

const pickName = ({ cluster, random }: FaultContext): string => random.pick(cluster.machines).name

const packets: Readonly<Record<WireKind, string>> = { tunnel: 'tunnel packets', direct: 'packets between nodes without a tunnel', link: 'packets' } // biome-ignore format: one line

/** Between two machines, one way or both. */
export const cutPair: MakeFault = (context) => {
  const { cluster, random } = context
  const [from, to] = [pickName(context), pickName(context)]
  const isBoth = random.percent(50)
  const kind: WireKind = random.pick(['tunnel', 'tunnel', 'direct', 'direct', 'link'])
  const forMs = random.within(200, 20_000)
  if (from === to) return undefined
  const { wires } = cluster.network
  return {
    name: `${packets[kind]} from ${from} to ${to} are lost${isBoth ? ', and the other way' : ''}, for ${seconds(forMs)}`,
    subject: `wire ${[from, to].sort().join(' ')}`,
    forMs,
    begin: () => {
      wires.cut(kind, from, to)
      if (isBoth) wires.cut(kind, to, from)
    },
    end: () => {
      wires.mend(kind, from, to)
      if (isBoth) wires.mend(kind, to, from)
    },
  }
}

/** A firewall that lets no tunnel packet through, one way or both. */
export const filteredTunnel: MakeFault = (context) => filter(context, 'tunnel', 'tunnel packet')

/** A switch that lets no packet through whose sender's address is another machine's, one way or both. */
export const filteredLink: MakeFault = (context) => filter(context, 'direct', 'packet with an egress IP')

function filter(context: FaultContext, kind: WireKind, what: string): Fault {
  const { cluster, random } = context
  const name = pickName(context)
  const ways = random.pick([['in'], ['out'], ['in', 'out']] as const)
  const forMs = random.within(500, 25_000)
  const { wires } = cluster.network
  const each = (act: (from: string, to: string) => void): void => {
    for (const way of ways) act(way === 'out' ? name : '*', way === 'out' ? '*' : name)
  }
  return {
    name: `no ${what} goes ${ways.join(' or ')} at ${name}, for ${seconds(forMs)}`,
    subject: `${kind} ${name}`,
    forMs,
    begin: () => each((from, to) => wires.cut(kind, from, to)),
    end: () => each((from, to) => wires.mend(kind, from, to)),
  }
}

/** The network cable. The device notices, or (behind a switch) does not. */
export const unpluggedMachine: MakeFault = (context) => {
  const { cluster, random } = context
  const machine = random.pick(cluster.machines)
  const { name } = machine
  const hasCarrier = random.percent(60)
  const forMs = random.within(500, 25_000)
  const { wires } = cluster.network
  return {
    name: `${name} is cut off from the link${hasCarrier ? '' : ', and its device has no carrier'}, for ${seconds(forMs)}`,
    subject: `tunnel ${name}`,
    forMs,
    begin: () => {
      wires.cut('link', name, '*')
      wires.cut('link', '*', name)
      cluster.apiNetwork.cut(name)
      if (!hasCarrier) machine.network.setCarrier(machine.uplink, false)
    },
    end: () => {
      wires.mend('link', name, '*')
      wires.mend('link', '*', name)
      cluster.apiNetwork.mend(name, false)
      if (!hasCarrier) machine.network.setCarrier(machine.uplink, true)
    },
  }
}

export const lossyLink: MakeFault = ({ cluster, random }) => {
  const percent = random.within(2, 40)
  const forMs = random.within(500, 10_000)
  return {
    name: `${percent} % of all packets are lost, for ${seconds(forMs)}`,
    subject: 'loss',
    forMs,
    begin: () => {
      cluster.network.wires.setLoss(percent)
      cluster.disturb('*')
    },
    end: () => {
      cluster.network.wires.setLoss(0)
      cluster.calm('*')
    },
  }
}

export const slowLink: MakeFault = ({ cluster, random }) => {
  const jitterMs = random.within(2, 60)
  const forMs = random.within(1_000, 15_000)
  const { wires } = cluster.network
  const before = wires.jitterMs
  return {
    name: `packets take up to ${jitterMs} ms, for ${seconds(forMs)}`,
    subject: 'delay',
    forMs,
    begin: () => {
      wires.jitterMs = jitterMs
    },
    end: () => {
      wires.jitterMs = before
    },
  }
}
