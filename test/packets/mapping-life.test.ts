import assert from 'node:assert/strict'
import { before, beforeEach, describe, test } from 'node:test'
import { putAll, removeAll } from '../../src/datapath/maps/maps.ts'
import { dissect } from './dissect.ts'
import { age, established, flowKey, secondNs } from './flows.ts'
import {
  type NodeUnderTest,
  openNode,
  ourPorts,
  reset,
  send,
  skip,
  standardTables,
} from './node-under-test.ts'
import { address, ipv4 } from './packet.ts'
import { tcpFlows } from './tcp-flow.ts'

const minuteNs = 60n * secondNs
const portCount = ourPorts.last - ourPorts.first + 1

describe('the life of a mapping', { skip }, () => {
  let node: NodeUnderTest
  before(() => {
    node = openNode()
  })
  beforeEach(() => reset(node))

  const { out, back, states, handshake, podClosesFirst, serverClosesFirst } = tcpFlows(() => node)

  /** Flows of other source ports that still find a port towards the same destination. */
  function newFlows(count: number): number {
    let sent = 0
    for (let sourcePort = 1; sourcePort <= count; sourcePort++)
      if (out({ flags: ['SYN'] }, sourcePort) === 'SENT_TO_HOLDER') sent++
    return sent
  }

  function fillPorts(mapping: Parameters<typeof established>[0] = {}): void {
    for (let index = 0; index < portCount; index++)
      established({ ...mapping, sourcePort: 50000 + index, egressPort: ourPorts.first + index })(node)
  }

  test('a port is free at once where the pod closed first', () => {
    const closed_ns = process.hrtime.bigint()
    fillPorts({
      mapping: {
        closed_ns,
        state: [
          'STATE_REPLIED',
          'STATE_ESTABLISHED',
          'STATE_FIN_OUT',
          'STATE_FIN_IN',
          'STATE_FIN_OUT_ACKED',
          'STATE_FIN_IN_ACKED',
          'STATE_POD_CLOSED_FIRST',
        ],
      },
    })
    assert.ok(newFlows(8) === 8)
  })

  test('a port is free after 60 seconds where the server closed first, and not before', () => {
    const state = [
      'STATE_REPLIED',
      'STATE_ESTABLISHED',
      'STATE_FIN_OUT',
      'STATE_FIN_IN',
      'STATE_FIN_OUT_ACKED',
      'STATE_FIN_IN_ACKED',
    ]
    fillPorts({ mapping: { closed_ns: process.hrtime.bigint(), state } })
    assert.equal(newFlows(8), 0)
    for (let index = 0; index < portCount; index++)
      age(node, flowKey({ sourcePort: 50000 + index }), 50n * secondNs)
    assert.equal(newFlows(8), 0)
    for (let index = 0; index < portCount; index++)
      age(node, flowKey({ sourcePort: 50000 + index }), 11n * secondNs)
    assert.equal(newFlows(8), 8)
  })

  test('established connections keep their ports: a full pool drops, and no other address is used', () => {
    fillPorts()
    assert.equal(out({ flags: ['SYN'] }, 1), 'DROP_NO_FREE_PORT')
    assert.equal([...node.datapath.tables.mappings.entries()].length, portCount)
  })

  const lifetimes = [
    {
      what: 'an established connection',
      protocol: 6,
      state: ['STATE_REPLIED', 'STATE_ESTABLISHED'],
      lifetimeNs: 124n * minuteNs,
    },
    { what: 'a half-open connection', protocol: 6, state: [], lifetimeNs: 4n * minuteNs },
    {
      what: 'a connection after a FIN',
      protocol: 6,
      state: ['STATE_REPLIED', 'STATE_ESTABLISHED', 'STATE_FIN_IN'],
      lifetimeNs: 4n * minuteNs,
    },
    {
      what: 'a connection that the pod reset',
      protocol: 6,
      state: ['STATE_REPLIED', 'STATE_ESTABLISHED', 'STATE_RESET'],
      lifetimeNs: 4n * minuteNs,
    },
    { what: 'a UDP flow', protocol: 17, state: ['STATE_REPLIED'], lifetimeNs: 5n * minuteNs },
    { what: 'a ping', protocol: 1, state: ['STATE_REPLIED'], lifetimeNs: minuteNs },
  ] as const

  for (const { what, protocol, state, lifetimeNs } of lifetimes)
    test(`${what} is forgotten after ${lifetimeNs / secondNs} s of silence, and not 10 s earlier`, () => {
      const flow = {
        protocol,
        mapping: { state },
        ...(protocol === 1 ? { sourcePort: 77, destinationPort: 0 } : {}),
      }
      const world = ipv4('203.0.113.9', '172.18.0.42')
      const answer =
        protocol === 6
          ? world.tcp(443, ourPorts.first, { flags: ['ACK'] })
          : protocol === 17
            ? world.udp(443, ourPorts.first)
            : world.echo('reply', ourPorts.first)
      established(flow)(node)
      age(node, flowKey(flow), lifetimeNs - 10n * secondNs)
      assert.equal(send(node, 'from_world', node.devices.world, answer).verdict, 'SENT_TO_POD')
      age(node, flowKey(flow), lifetimeNs + 10n * secondNs)
      assert.equal(send(node, 'from_world', node.devices.world, answer).verdict, 'DROP_NO_MAPPING')
    })

  test('answers alone keep a UDP flow alive', () => {
    const udp = { protocol: 17 }
    established(udp)(node)
    const answer = ipv4('203.0.113.9', '172.18.0.42').udp(443, ourPorts.first)
    for (let round = 0; round < 3; round++) {
      age(node, flowKey(udp), 290n * secondNs)
      assert.equal(send(node, 'from_world', node.devices.world, answer).verdict, 'SENT_TO_POD')
    }
  })

  test("an expired mapping is replaced by the flow's next packet, under today's policy", () => {
    established({ protocol: 17, egressIp: '172.18.0.43' })(node)
    age(node, flowKey({ protocol: 17 }), 10n * minuteNs)
    const journey = send(
      node,
      'from_pod',
      node.devices.pod7,
      ipv4('10.244.1.7', '203.0.113.9').udp(40000, 443),
    )
    assert.equal(dissect(journey.out).source, '172.18.0.42')
    assert.equal([...node.datapath.tables.ports.entries()].length, 1)
  })

  test('a mapping that is being taken apart is nobody’s any more', () => {
    established({ mapping: { reclaimed: true } })(node)
    assert.equal(back({ flags: ['ACK'] }), 'DROP_NO_MAPPING')
    assert.equal(out({ flags: ['SYN'] }), 'DROP_NO_MAPPING')
    assert.deepEqual(
      [...node.datapath.tables.ports.entries()].map(([{ source_port }]) => source_port),
      [ourPorts.first],
      'the port of the attempt goes back',
    )
  })

  test('a port that leads to a mapping with another port leads nowhere, and takes nothing from it', () => {
    fillPorts({ mapping: { egress_port: 1, closed_ns: 1n } })
    for (let index = 0; index < portCount; index++) {
      const answer = ipv4('203.0.113.9', '172.18.0.42').tcp(443, ourPorts.first + index, { flags: ['ACK'] })
      assert.equal(send(node, 'from_world', node.devices.world, answer).verdict, 'DROP_NO_MAPPING')
    }
    assert.equal(newFlows(8), 0)
  })

  test('a flow that starts anew leaves a port alone that is another flow’s by now', () => {
    established({ mapping: { created_ns: 0n } })(node)
    established({ sourcePort: 40001 })(node)
    assert.equal(out({ flags: ['SYN'] }), 'SENT_TO_HOLDER')
    assert.equal(back({ flags: ['ACK'] }, 40001), 'SENT_TO_POD')
  })

  test('a new connection with the ports of a closed one starts anew', () => {
    serverClosesFirst()
    assert.equal(out({ flags: ['SYN'], sequence: 9000 }), 'SENT_TO_HOLDER')
    assert.deepEqual(states(), [])
  })

  test('an ICMP error in either direction prolongs nothing', () => {
    established({ protocol: 17 })(node)
    const before = node.datapath.tables.mappings.get(flowKey({ protocol: 17 }))
    const quoted = ipv4('172.18.0.42', '203.0.113.9').udp(ourPorts.first, 443)
    send(
      node,
      'from_world',
      node.devices.world,
      ipv4('198.51.100.77', '172.18.0.42').error('unreachable', quoted),
    )
    send(
      node,
      'from_pod',
      node.devices.pod7,
      ipv4('10.244.1.7', '203.0.113.9').error(
        'unreachable',
        ipv4('203.0.113.9', '10.244.1.7').udp(443, 40000),
      ),
    )
    const after = node.datapath.tables.mappings.get(flowKey({ protocol: 17 }))
    assert.equal(after?.last_inward_ns, before?.last_inward_ns)
    assert.equal(after?.last_outward_ns, before?.last_outward_ns)
    assert.equal(after?.packets_in, (before?.packets_in ?? 0n) + 1n)
  })

  test('packets and bytes are counted both ways', () => {
    handshake()
    const mapping = node.datapath.tables.mappings.get(flowKey({}))
    assert.equal(mapping?.packets_out, 2n)
    assert.equal(mapping?.packets_in, 1n)
    assert.equal(mapping?.bytes_out, 108n)
    assert.equal(mapping?.bytes_in, 54n)
    assert.equal(mapping?.policy, 7n)
  })

  test('a thousand short connections to one destination, closed by the pod, never starve on 16 ports', () => {
    for (let count = 0; count < 1000; count++) podClosesFirst(10000 + count)
    assert.ok([...node.datapath.tables.ports.entries()].length <= portCount)
  })

  test('a full table of mappings drops, and gives the port back', async () => {
    const { mappings, ports } = node.datapath.tables
    const now = process.hrtime.bigint()
    const value = mappings.value.encode({
      reclaimed: false, is_of_client: false, egress_ip: address('172.18.0.99'), egress_port: 1, state: [], masqueraded: false, through_stack: false, through_service: false, fin_out_end: 0, fin_in_end: 0, acknowledged: 0,
      policy: 0n, created_ns: now, last_outward_ns: now, last_inward_ns: now, closed_ns: 0n, packets_out: 0n, packets_in: 0n, bytes_out: 0n, bytes_in: 0n,
    }) // biome-ignore format: one row
    const puts = Array.from({ length: mappings.raw.maxEntries }, (_, index) => {
      const key = mappings.key.encode(flowKey({ pod: '10.244.9.9' }))
      key.writeUInt32LE(index, 16)
      return [key, value] as const
    })
    for (const _chunk of putAll(mappings.raw, puts)) void _chunk
    assert.equal(out({ flags: ['SYN'] }), 'DROP_TABLE_FULL')
    assert.equal(ports.count(), 0)
    for (const _chunk of removeAll(
      mappings.raw,
      puts.map(([key]) => key),
    ))
      void _chunk
    assert.equal(out({ flags: ['SYN'] }), 'SENT_TO_HOLDER')
  })

  test('editing a policy moves new flows only', async () => {
    handshake(40000)
    const tables = standardTables(node)
    const rules = new Map(
      [...tables.rules].map(([set, byPrefix]) => [
        set,
        new Map(
          [...byPrefix].map(
            ([prefix, rule]) =>
              [
                prefix,
                rule.action === 'egress' && rule.group === 1n ? { ...rule, group: 2n } : rule,
              ] as const,
          ),
        ),
      ]),
    )
    await node.datapath.apply({ ...tables, rules })
    assert.equal(out({ flags: ['ACK'], sequence: 101, acknowledged: 501 }, 40000), 'SENT_TO_HOLDER')
    assert.equal(out({ flags: ['SYN'] }, 40001), 'SENT_TO_WORLD')
    assert.equal(node.datapath.tables.mappings.get(flowKey({ sourcePort: 40001 }))?.egress_ip, '172.18.0.43')
  })
})
