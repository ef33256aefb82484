import type { Datapath } from '../../datapath/datapath.ts'
import { keyString, type RawEntries, readAll } from '../../datapath/maps/maps.ts'
import { type Address, addressFromBytes } from '../../net/address.ts'
import { blockOfPort } from '../../net/ports.ts'
import type { AddressUse } from './port-state.ts'

interface Swept {
  readonly removed: number
  /** By egress IP. */
  readonly uses: ReadonlyMap<Address, AddressUse>
}

/**
 * Deletes expired mappings, and ports that lead to none. The programs reclaim an old mapping only when a new flow wants its
 * port. A node that keeps talking to new destinations never wants most of these ports again, and its tables would fill up.
 *
 * What is over, the kernel's program says, and it alone removes: a port that was free when it was read may be another flow's.
 * In one go, since a block that leaves its pool meanwhile could get a flow that `uses` does not know of.
 */
export class Sweep {
  /** Ports without a mapping, as the previous sweep found them. */
  #orphans: RawEntries = new Map()

  run(datapath: Datapath, onSweptSome?: () => void): Swept {
    const { removed, uses } = sweepMappings(datapath, onSweptSome)
    return { removed: removed + this.#sweepPorts(datapath), uses }
  }

  #sweepPorts(datapath: Datapath): number {
    const orphans: RawEntries = new Map()
    let removed = 0
    for (const chunk of readAll(datapath.tables.ports.raw)) {
      const answers = datapath.sweep(
        'SWEEP_PORT',
        chunk.map(([key]) => key),
      )
      const strays = chunk.filter((_, index) => answers[index] === 'SWEPT_ORPHAN')
      const again = strays.filter(([key, flow]) => this.#orphans.get(keyString(key))?.equals(flow))
      for (const [key, flow] of strays) orphans.set(keyString(key), flow)
      const ends = datapath.sweep(
        'SWEEP_ORPHAN',
        again.map(([key]) => key),
      )
      removed += ends.filter((answer) => answer === 'SWEPT_REMOVED').length
    }
    this.#orphans = orphans
    return removed
  }
}

function sweepMappings(datapath: Datapath, onSweptSome: () => void = () => {}): Swept {
  const { mappings } = datapath.tables
  const counts = new Map<Address, Counts>()
  let removed = 0
  for (const chunk of readAll(mappings.raw)) {
    const answers = datapath.sweep(
      'SWEEP_MAPPING',
      chunk.map(([key]) => key),
    )
    for (const [index, [key, value]] of chunk.entries()) {
      if (answers[index] === 'SWEPT_REMOVED') {
        removed++
        continue
      }
      const { egress_ip: egressIp, egress_port: port } = mappings.value.decode(value)
      const of = counts.get(egressIp) ?? { flows: new Map(), destinations: new Map(), pods: new Map() }
      counts.set(egressIp, of)
      increase(of.flows, blockOfPort(port))
      increase(of.destinations, destinationIn(key))
      increase(of.pods, podIn(key))
    }
    onSweptSome()
  }
  const uses = new Map(
    [...counts].map(([address, { flows, destinations, pods }]) => {
      const [, most] = largest(destinations)
      const [pod, connections] = largest(pods)
      const heaviest = { pod: addressFromBytes(Buffer.from(pod, 'latin1')), connections }
      return [address, { flows, most, heaviest }] as const
    }),
  )
  return { removed, uses }
}

interface Counts {
  readonly flows: Map<number, number>
  readonly destinations: Map<string, number>
  readonly pods: Map<string, number>
}

function largest(counts: ReadonlyMap<string, number>): readonly [string, number] {
  let found: readonly [string, number] = ['', 0]
  for (const entry of counts) if (entry[1] > found[1]) found = entry
  return found
}

function increase<K>(counts: Map<K, number>, key: K): void {
  counts.set(key, (counts.get(key) ?? 0) + 1)
}

/** The pod's address in a struct flow_key. */
function podIn(key: Buffer): string {
  return key.toString('latin1', 0, 16)
}

/** Everything in a struct flow_key except the pod's address and port. */
function destinationIn(key: Buffer): string {
  return key.toString('latin1', 16, 32) + key.toString('latin1', 34)
}
