import type { Datapath } from '../datapath/datapath.ts'
import type { FlowKey, Mapping } from '../datapath/tables.ts'
import type { Address } from '../net/address.ts'
import { blockOfPort } from '../net/ports.ts'

/** As bpf/config.h has them, nanoseconds. */
const lifetimes = { established: 7440n, transitory: 240n, udp: 300n, icmp: 60n }
const second = 1_000_000_000n
const protocols = { tcp: 6, udp: 17 }

function lifetimeNs({ protocol }: FlowKey, { state }: Mapping): bigint {
  if (protocol === protocols.udp) return lifetimes.udp * second
  if (protocol !== protocols.tcp) return lifetimes.icmp * second
  const isClosing = ['STATE_FIN_OUT', 'STATE_FIN_IN', 'STATE_RESET'].some((bit) => state.includes(bit))
  return (
    (state.includes('STATE_ESTABLISHED') && !isClosing ? lifetimes.established : lifetimes.transitory) *
    second
  )
}

export interface Swept {
  readonly removed: number
  /** Blocks of ports that flows have, by egress IP. */
  readonly used: ReadonlyMap<Address, ReadonlySet<number>>
}

/**
 * Removes expired mappings, and ports that lead to none. The datapath takes an old mapping apart when somebody wants its
 * port; a node that talks to ever new destinations wants most of them never again, and its tables would fill up.
 * The mapping goes first: a port without one is not taken apart by others meanwhile.
 */
export function sweepMappings(datapath: Datapath, nowNs: bigint): Swept {
  const { mappings, ports } = datapath.tables
  const used = new Map<Address, Set<number>>()
  let removed = 0
  for (const [flow, mapping] of mappings.entries()) {
    const lifetime = lifetimeNs(flow, mapping)
    if (mapping.last_inward_ns + lifetime > nowNs || mapping.last_outward_ns + lifetime > nowNs) {
      const blocks = used.get(mapping.egress_ip) ?? new Set()
      used.set(mapping.egress_ip, blocks.add(blockOfPort(mapping.egress_port)))
      continue
    }
    mappings.delete(flow)
    ports.delete({ ...flow, source: mapping.egress_ip, source_port: mapping.egress_port })
    removed++
  }
  return { removed, used }
}
