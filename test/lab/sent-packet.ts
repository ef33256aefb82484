import assert from 'node:assert/strict'
import type { Explanation } from '../../src/agent/api/explain/explanation.ts'
import type { SentPacket } from '../../src/cli/see/send-packet.ts'
import type { LabState } from '../../src/lab/lab-state.ts'
import { exec } from '../../src/lab/shell.ts'

/** What the outpost does with test packets by their port, beside its server on port 8000. It notes who asks. */
export const outpostFirewall = `table inet test_packets {
  set askers { type ipv4_addr . inet_service; flags dynamic; size 64; }
  chain input { type filter hook input priority -10;
    tcp dport 8000-8004 ct state new add @askers { ip saddr . tcp dport }
    tcp dport 8001 reject with tcp reset
    tcp dport 8002 reject with icmp type admin-prohibited
    tcp dport 8003 drop
  }
}`

export interface Sent {
  readonly code: number
  readonly sent: SentPacket
  /** Each program with its node and what it did, in order. */
  readonly steps: readonly string[]
}

/** Types the command in the lab's shell. */
export async function sendFrom(state: LabState, pod: string, to: string, more = ''): Promise<Sent> {
  const command = `sallyport explain pod/${pod} --to ${to} --send -o json ${more} 2>&1`
  const { code, output } = await exec(state, ['bash', '-c', command])
  const { sent } = JSON.parse(output) as Explanation & { readonly sent?: SentPacket }
  assert.ok(sent !== undefined, output)
  const steps = sent.passages.map(
    ({ node, program, packet, verdict }) => `${node} ${program} ${packet} ${verdict}`,
  )
  return { code, sent, steps }
}
