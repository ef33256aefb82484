import type { Datapath } from '../../datapath/datapath.ts'
import { keyString, type RawEntries, readAll } from '../../datapath/maps/maps.ts'
import type { Address } from '../../net/address.ts'
import { blockOfPort } from '../../net/ports.ts'

interface Swept {
  readonly removed: number
  /** Blocks of ports that flows have, by egress IP. */
  readonly used: ReadonlyMap<Address, ReadonlySet<number>>
}

/**
 * Deletes expired mappings, and ports that lead to none. The programs reclaim an old mapping only when a new flow wants its
 * port. A node that keeps talking to new destinations never wants most of these ports again, and its tables would fill up.
 *
 * What is over, the kernel's program says, and it alone removes: a port that was free when it was read may be another flow's.
 * In one go, since a block that leaves its pool meanwhile could get a flow that `used` does not know of.
 */
export class Sweep {
  /** Ports without a mapping, as the last sweep saw them. */
  #orphans: RawEntries = new Map()

  run(datapath: Datapath): Swept {
    const { removed, used } = sweepMappings(datapath)
    return { removed: removed + this.#sweepPorts(datapath), used }
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

function sweepMappings(datapath: Datapath): Swept {
  const { mappings } = datapath.tables
  const used = new Map<Address, Set<number>>()
  let removed = 0
  for (const chunk of readAll(mappings.raw)) {
    const answers = datapath.sweep(
      'SWEEP_MAPPING',
      chunk.map(([key]) => key),
    )
    for (const [index, [, value]] of chunk.entries()) {
      if (answers[index] === 'SWEPT_REMOVED') {
        removed++
        continue
      }
      const { egress_ip: egressIp, egress_port: port } = mappings.value.decode(value)
      const blocks = used.get(egressIp) ?? new Set()
      used.set(egressIp, blocks.add(blockOfPort(port)))
    }
  }
  return { removed, used }
}
