import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Explanation } from '../../agent/api/explain/explanation.ts'
import type {
  PassageRow,
  TestPacketRequest,
  TestPacketResult,
} from '../../agent/api/test-packet/test-packet-row.ts'
import { type Address, parseAddress } from '../../net/address.ts'
import type { ReachedAgent } from './agents.ts'
import { sendPacket } from './send-packet.ts'
import { formatSentPacket } from './sent-packet-text.ts'

const address = (text: string): Address => {
  const parsed = parseAddress(text)
  assert.ok(parsed !== undefined)
  return parsed
}
const [pod, egress, far] = [address('10.244.2.2'), address('172.18.0.42'), address('203.0.113.9')]

const out = { source: egress, sourcePort: 32863, destination: far, destinationPort: 443 }
const fromPod = { ...out, source: pod, sourcePort: 40000 }
const back = { source: far, sourcePort: 443, destination: egress, destinationPort: 32863 }

const row = (
  node: string,
  program: string,
  packet: PassageRow['packet'],
  verdict: string,
  ends: Pick<PassageRow, 'source' | 'sourcePort' | 'destination' | 'destinationPort'>,
  more: Partial<PassageRow> = {},
): PassageRow => ({
  ...{ kind: 'passage', node, atNs: 1e6, program, packet, verdict },
  ...{ sender: ends.source, ...ends, ...more },
})

/** Of the gateway: its clock is far from that of the pod's node. */
const onGateway = [
  row('gateway', 'from_world', 'SYN', 'SENT_FORWARDED', out, { atNs: 5e12 }),
  row('gateway', 'from_world', 'SYN-ACK', 'SENT_TO_OWNER', back, { atNs: 5e12 + 9e5 }),
  row('gateway', 'from_world', 'RST', 'SENT_FORWARDED', out, { atNs: 5e12 + 19e5 }),
  row('gateway', 'from_world', 'SYN', 'SENT_FORWARDED', { ...out, sourcePort: 32900 }, { atNs: 5e12 + 1 }),
]
const syn = row('worker', 'from_pod', 'SYN', 'SENT_TO_HOLDER', fromPod)
const accepted = row('worker', 'from_overlay', 'SYN-ACK', 'SENT_TO_POD', back, { atNs: 3.5e6 })
const reset = row('worker', 'from_pod', 'RST', 'SENT_TO_HOLDER', fromPod, { atNs: 4e6 })

const said = {
  pod: { namespace: 'default', name: 'xwing', node: 'worker', labels: {} },
  flow: { source: pod, destination: far, port: 443, protocol: 'tcp' },
  gateways: [{ node: 'gateway' }, { node: 'dead' }],
  egressIps: [{ order: ['gateway', 'dead'] }],
  decision: { verdicts: ['SENT_TO_HOLDER'], egressIps: [egress] },
} as unknown as Explanation

/** The worker sends only when the gateway follows. */
function cluster(passages: readonly PassageRow[], translated = true) {
  const requests: TestPacketRequest[] = []
  let isFollowed = false
  const agent = (node: string, parts: Partial<ReachedAgent>): ReachedAgent => ({
    node,
    ask: () => assert.fail('not asked'),
    follow: () => assert.fail('not followed'),
    ...parts,
  })
  const result: TestPacketResult = {
    ...{ node: 'worker', source: pod, sourcePort: 40000, destination: far, destinationPort: 443, passages },
    ...(translated ? { egressIp: egress, egressPort: 32863 } : {}),
  }
  const agents = [
    agent('worker', {
      async ask<T>(_path: string, body: unknown) {
        assert.ok(isFollowed)
        requests.push(body as TestPacketRequest)
        return result as T
      },
    }),
    agent('gateway', {
      async *follow<T>(path: string) {
        assert.match(path, /^\/v1\/passages\?protocol=tcp&sequence=\d+&address=203\.0\.113\.9&port=443$/)
        isFollowed = true
        yield { kind: 'ready', node: 'gateway' } as T
        for (const each of onGateway) yield each as T
      },
    }),
  ]
  return { agents, requests }
}

test('the command lists the programs in the order in which they handled the test packet, whatever the clocks of the nodes say', async () => {
  const { agents, requests } = cluster([syn, accepted, reset])
  const sent = await sendPacket(agents, said, 1000)
  assert.deepEqual(
    sent.passages.map(({ node, packet }) => `${node} ${packet}`),
    ['worker SYN', 'gateway SYN', 'gateway SYN-ACK', 'worker SYN-ACK', 'worker RST', 'gateway RST'],
  )
  assert.equal(requests.length, 1)
  assert.equal(sent.answeredAfterMs, 2.5)
  assert.ok(sent.agrees)
  assert.deepEqual(Object.keys(sent.notFollowed), ['dead'])
  const text = formatSentPacket(sent)
  assert.match(text, /> +worker +from_pod +SYN +SENT_TO_HOLDER\n/)
  assert.match(text, /< +worker +from_overlay +SYN-ACK +SENT_TO_POD\n/)
  assert.match(text, /Node dead was not followed: no agent can be asked on node dead/)
  assert.match(text, /✓ 203\.0\.113\.9:443 accepted the connection after 2\.5 ms\. It was reset at once\./)
})

for (const { name, passages, expect } of [
  {
    name: 'a refusal by reset',
    passages: [syn, row('worker', 'from_overlay', 'RST', 'SENT_TO_POD', back, { atNs: 2e6 })],
    expect: /- 203\.0\.113\.9:443 refused the connection after 1\.0 ms \(RST\)/,
  },
  {
    name: 'a refusal by ICMP',
    passages: [
      syn,
      row('worker', 'from_overlay', 'unreachable', 'SENT_TO_POD', back, {
        ...{ atNs: 2e6, icmp: 'type 3, code 13', sender: address('192.0.2.1') },
      }),
    ],
    expect: /- 192\.0\.2\.1 answered after 1\.0 ms with ICMP "unreachable" \(type 3, code 13\)/,
  },
  {
    name: 'silence, with the nodes that could not be asked',
    passages: [syn],
    expect: /! Nothing came back within 1 s\. The nodes that were not followed may have dropped the packet\./,
  },
  {
    name: 'a drop, with its remedy, also of an answer',
    passages: [
      syn,
      row('worker', 'from_overlay', 'SYN-ACK', 'DROP_NO_MAPPING', back, {
        ...{ reason: 'No mapping', remedy: 'connect again' },
      }),
    ],
    expect: /! from_overlay on node worker dropped the SYN-ACK: No mapping\. To change that, connect again\./,
  },
])
  test(`a test packet tells ${name}`, async () => {
    const { agents } = cluster(passages)
    assert.match(formatSentPacket(await sendPacket(agents, said, 1000)), expect)
  })

test('a test packet that the running program handles in another way than decided says so', async () => {
  const { agents } = cluster([row('worker', 'from_pod', 'SYN', 'SENT_TO_WORLD', fromPod)], false)
  const sent = await sendPacket(agents, said, 1000)
  assert.ok(!sent.agrees)
  assert.match(formatSentPacket(sent), /did NOT do what was decided/)
})
