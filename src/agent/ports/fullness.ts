import type { Datapath } from '../../datapath/datapath.ts'
import type { FlowKey } from '../../datapath/tables/flow-tables.ts'
import type { Fullness } from '../../decide/ports/lease-demand.ts'
import { blockBits, portsPerBlock } from '../../net/ports.ts'
import type { Random } from '../../runtime/random.ts'

/** The estimate is wrong by less than a tenth of the pool in 999 of 1000 cases: 3.3 * sqrt(0.25 / 256). */
const maxSamples = 256

/** KEPT_PORT of bpf/types.h: one port in four is kept for pods with few flows. */
export const keptPort = 3

/**
 * How full a pool is towards one destination. The kernel keeps no count, so the agent samples some of the ports. Ports that
 * are kept for pods with few flows are left out, because they say nothing about the others.
 */
export function measureFullness(datapath: Datapath, port: FlowKey, random: Random): Fullness {
  const blocks = datapath.tables.pools.get({ address: port.source, purpose: 'egress' }) ?? []
  const size = blocks.length * portsPerBlock
  const keys = samplesOf(blocks, random).map((source_port) =>
    datapath.tables.ports.key.encode({ ...port, source_port }),
  )
  const taken = datapath.sweep('SWEEP_TAKEN', keys).filter((answer) => answer === 'SWEPT_KEPT').length
  return { size, taken: keys.length === 0 ? 0 : Math.round((taken / keys.length) * size) }
}

function samplesOf(blocks: readonly number[], random: Random): readonly number[] {
  const usual = Array.from({ length: portsPerBlock }, (_, port) => port).filter(
    (port) => (port & keptPort) !== keptPort,
  )
  const count = blocks.length * usual.length
  const at = (index: number): number => {
    const block = blocks[Math.floor(index / usual.length)] ?? 0
    return (block << blockBits) | (usual[index % usual.length] ?? 0)
  }
  if (count <= maxSamples) return Array.from({ length: count }, (_, index) => at(index))
  return Array.from({ length: maxSamples }, () => at(Math.floor(random() * count)))
}
