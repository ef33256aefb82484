import { endText } from '../../net/address.ts'
import { formatColumns } from '../columns.ts'
import { isTowardsPod, type SentPacket } from './send-packet.ts'

/** What became of the test packet, for a person. */
export function formatSentPacket(sent: SentPacket): string {
  const { node, source, sourcePort, egressIp, egressPort, passages, notFollowed } = sent
  const from = endText(source, sourcePort)
  const translated =
    egressIp === undefined || egressPort === undefined
      ? 'It was not translated.'
      : `It was translated to ${endText(egressIp, egressPort)}.`
  const rows = passages.map((row) => [
    isTowardsPod(sent, row) ? '<' : '>',
    row.node,
    row.program,
    row.packet + (row.icmp === undefined ? '' : ` (${row.icmp})`),
    row.verdict,
  ])
  const missing = Object.entries(notFollowed).map(([name, why]) => `Node ${name} was not followed: ${why}.`)
  const lines = [
    `A packet from ${from} came in by the pod's device on node ${node}. ${translated}`,
    ...(rows.length === 0 ? [] : [formatColumns(rows)]),
    ...missing,
    outcome(sent),
    ...(sent.agrees
      ? []
      : [
          '! The running program did NOT do what was decided. Report this as a bug, with this output in JSON (-o json).',
        ]),
  ]
  return `\nTest packet\n${lines.join('\n').replace(/^/gm, '  ')}`
}

function outcome(sent: SentPacket): string {
  const {
    answer,
    passages,
    destination,
    destinationPort,
    answeredAfterMs = 0,
    waitedMs,
    egressIp,
    notFollowed,
  } = sent
  const far = endText(destination, destinationPort)
  const drop = passages.find(({ reason }) => reason !== undefined)
  if (answer !== undefined) {
    const after = `after ${answeredAfterMs.toFixed(1)} ms`
    if (answer.packet === 'SYN-ACK') return `✓ ${far} accepted the connection ${after}. It was reset at once.`
    if (answer.packet === 'RST')
      return `- ${far} refused the connection ${after} (RST): no server listens there, or a firewall refuses it.`
    if (answer.icmp !== undefined)
      return `- ${answer.sender} answered ${after} with ICMP "${answer.packet}" (${answer.icmp}): a router or a firewall refuses the packet.`
    return `✓ ${far} answered ${after}.`
  }
  if (drop !== undefined)
    return `! ${drop.program} on node ${drop.node} dropped the ${drop.packet}: ${drop.reason}. To change that, ${drop.remedy}.`
  if (passages.length === 0) return '! No program saw the packet. The device of the pod may be down.'
  const nothing = `! Nothing came back within ${waitedMs / 1000} s.`
  const last = passages.at(-1)
  if (Object.keys(notFollowed).length > 0)
    return `${nothing} The nodes that were not followed may have dropped the packet.`
  const seenLast = `The last program that had it was ${last?.program} on node ${last?.node} (${last?.verdict}).`
  const ask =
    egressIp === undefined
      ? `Ask the owner of ${destination} whether it allows the address that the packet has outside.`
      : `Ask the owner of ${destination} whether a firewall allows ${egressIp}, and whether it has a route to it.`
  return `${nothing} ${seenLast} ${ask}`
}
