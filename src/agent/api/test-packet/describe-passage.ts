import type { Passage } from '../../../datapath/tables/observation-tables.ts'
import { familyOf } from '../../../net/address.ts'
import { dropReasons } from '../drop-reasons.ts'
import type { PacketKind, PassageRow } from './test-packet-row.ts'

export function describePassage(node: string, passage: Passage): PassageRow {
  const { flow, verdict, program, time_ns, sender, is_icmp_error, icmp_type, icmp_code } = passage
  const drop = dropReasons[verdict]
  return {
    kind: 'passage',
    node,
    atNs: Number(time_ns),
    program: program.toLowerCase(),
    verdict,
    ...(drop === undefined ? {} : { reason: drop.text, remedy: drop.remedy }),
    packet: packetKind(passage),
    ...(is_icmp_error ? { icmp: `type ${icmp_type}, code ${icmp_code}` } : {}),
    sender,
    source: flow.source,
    sourcePort: flow.source_port,
    destination: flow.destination,
    destinationPort: flow.destination_port,
  }
}

const flags = { syn: 2, rst: 4, ack: 16 } as const
const udp = 17

function packetKind(passage: Passage): PacketKind {
  if (passage.is_icmp_error) return errorKind(passage)
  if (passage.flow.protocol === udp) return 'datagram'
  const { tcp_flags: found } = passage
  if ((found & flags.rst) !== 0) return 'RST'
  if ((found & flags.syn) === 0) return 'other TCP'
  return (found & flags.ack) === 0 ? 'SYN' : 'SYN-ACK'
}

/** Types and codes of RFC 792 and RFC 4443. */
function errorKind({ sender, icmp_type: type, icmp_code: code }: Passage): PacketKind {
  const isTooBig = familyOf(sender) === 4 ? type === 3 && code === 4 : type === 2
  if (isTooBig) return 'fragmentation needed'
  if (type === (familyOf(sender) === 4 ? 3 : 1)) return 'unreachable'
  return type === (familyOf(sender) === 4 ? 11 : 3) ? 'time exceeded' : 'ICMP error'
}
