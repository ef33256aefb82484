import assert from 'node:assert/strict'
import { uptime } from 'node:os'
import { before, beforeEach, describe, test } from 'node:test'
import {
  ack,
  answer,
  type ClientSide,
  call,
  ends,
  families,
  fromEndpoint,
  nodePort,
  openForClients,
  read,
  row,
  rows,
  syn,
  toEndpoint,
} from './client-cases.ts'
import { dissect } from './dissect.ts'
import { prefix, reset, send, skip, standardTables } from './node-under-test.ts'
import { address, ipv4 } from './packet.ts'
import { tcp } from './service-cases.ts'

describe('what is not for clients of Services, and what is special about their packets', { skip }, () => {
  let side: ClientSide
  before(() => {
    side = openForClients()
  })
  beforeEach(() => reset(side.node))

  test('only admitted clients reach a Service with source ranges, from outside and from pods', async () => {
    for (const [range, verdict] of [
      ['203.0.113.0/24', 'SENT_TO_POD'],
      ['203.0.114.0/24', 'DROP_SOURCE_RANGES'],
    ] as const) {
      await side.apply(rows(['near'], { sources: [prefix(range)] }))
      assert.equal(side.fromWorld(call(4, 'tcp', ends[4].external, 80)).verdict, verdict)
      const packet = ipv4('10.244.1.7', ends[4].external).tcp(40000, 80, syn)
      assert.equal(send(side.node, 'from_pod', side.node.devices.pod7, packet).verdict, 'DROP_SOURCE_RANGES')
    }
    await side.apply(rows(['near'], { sources: [prefix('10.244.0.0/16')] }))
    const packet = ipv4('10.244.1.7', ends[4].external).tcp(40000, 80, syn)
    assert.equal(send(side.node, 'from_pod', side.node.devices.pod7, packet).verdict, 'SENT_TO_POD')
  })

  test('a pod reaches node ports of its own node and of others', async () => {
    for (const family of families)
      for (const to of [ends[family].entry, ends[family].otherEntry]) {
        await side.apply(rows(['near']))
        const from = family === 4 ? '10.244.1.7' : 'fd00:1::7'
        const packet = ends[family].packet(from, to).tcp(40000, nodePort, syn)
        const journey = send(side.node, 'from_pod', side.node.devices.pod7, packet)
        assert.equal(journey.verdict, 'SENT_TO_POD')
        assert.deepEqual(read(journey), [address(from), 40000, address(ends[family].near), 8080])
        const back = side.fromEndpointPod(ends[family].packet(ends[family].near, from).tcp(8080, 40000, ack))
        assert.deepEqual(read(back), [address(to), nodePort, address(from), 40000])
      }
  })

  test('no node port at an address that has none: of a Service, of an excluded device, of the world', async () => {
    await side.apply(rows(['near']))
    assert.equal(side.fromWorld(call(4, 'tcp', '172.18.0.99', nodePort)).verdict, 'PASS_NOT_OURS')
    const { cluster } = standardTables(side.node)
    await side.node.datapath.apply({ ...standardTables(side.node), cluster, services: rows(['near']) })
    assert.equal(side.fromWorld(call(4, 'tcp', ends[4].entry, nodePort)).verdict, 'PASS_NOT_OURS')
  })

  test('a cluster IP is not reached from outside', async () => {
    const [row] = rows(['near'])
    assert.ok(row)
    const { clients, ...inside } = row
    await side.apply([{ ...inside, address: address('10.96.0.7'), port: 80, protocol: tcp }])
    assert.ok(clients)
    assert.equal(side.fromWorld(call(4, 'tcp', '10.96.0.7', 80)).verdict, 'PASS_NOT_OURS')
  })

  test('a frame for another host is left alone', async () => {
    await side.apply(rows(['near']))
    const packet = call(4, 'tcp', ends[4].external, 80)
    assert.equal(send(side.node, 'from_world', side.node.devices.world, packet).verdict, 'PASS_NOT_OURS')
  })

  test('a node sends replies only from addresses of Services that clients outside reach', async () => {
    await side.apply(rows(['far']))
    const forged = ipv4('172.18.0.3', ends[4].client).tcp(22, 40000, ack)
    assert.equal(side.fromTunnel(forged, fromEndpoint).verdict, 'DROP_NOT_THE_OWNER')
  })

  test('a packet through the tunnel finds an endpoint of this node, or none', async () => {
    await side.apply(rows(['far']))
    assert.equal(
      side.fromTunnel(call(4, 'tcp', ends[4].external, 80), toEndpoint).verdict,
      'DROP_NO_ENDPOINT',
    )
    await side.apply(rows([]))
    assert.equal(
      side.fromTunnel(call(4, 'tcp', ends[4].external, 80), toEndpoint).verdict,
      'DROP_NO_ENDPOINT',
    )
    await side.apply([])
    assert.equal(
      side.fromTunnel(call(4, 'tcp', ends[4].external, 80), toEndpoint).verdict,
      'DROP_NO_ENDPOINT',
    )
  })

  test('a selected endpoint that opens a connection to its client leaves with the egress IP', async () => {
    const endpoints = [{ address: address('10.244.1.7'), port: 8080 }]
    const clients = { endpointsOf: 'anyNode' as const, local: endpoints }
    await side.apply([
      { ...row, address: address('0.0.0.0'), port: nodePort, protocol: tcp, endpoints, clients },
    ])
    assert.equal(side.fromWorld(call(4, 'tcp', ends[4].entry, nodePort)).verdict, 'SENT_TO_POD')
    const from7 = (options: object, ports: readonly [number, number] = [8080, 40000]) =>
      send(
        side.node,
        'from_pod',
        side.node.devices.pod7,
        ipv4('10.244.1.7', ends[4].client).tcp(...ports, options),
      )
    const reply = from7({ flags: ['SYN', 'ACK'] })
    assert.deepEqual([reply.verdict, dissect(reply.out).source], ['SENT_TO_WORLD', address('172.18.0.3')])
    assert.equal(from7(ack, [8080, 40001]).verdict, 'DROP_NO_MAPPING', 'of no client')
    const own = from7(syn)
    assert.deepEqual([own.verdict, dissect(own.out).source], ['SENT_TO_HOLDER', address('172.18.0.42')])
  })

  test('who calls an endpoint itself with the ports of an earlier call gets the reply of the endpoint', async () => {
    const { client, external, near, process: own, otherEntry } = ends[4]
    const direct = (from: string, to: string) => ipv4(from, to).tcp(40000, 8080, syn)
    const replied = (from: string, to: string) => ipv4(from, to).tcp(8080, 40000, { flags: ['SYN', 'ACK'] })
    await side.apply(rows(['near']))
    side.fromWorld(call(4, 'tcp', external, 80))
    assert.equal(
      send(side.node, 'to_pod', side.node.devices.pod8, direct(client, near)).verdict,
      'PASS_TO_STACK',
    )
    const toClient = side.fromEndpointPod(replied(near, client))
    assert.deepEqual([toClient.verdict, dissect(toClient.out).source], ['PASS_REPLY', address(near)])
    side.fromWorld(ipv4(otherEntry, external).tcp(40000, 80, syn))
    assert.equal(
      side.fromTunnel(direct(otherEntry, near), { vni: 1, node: otherEntry }).verdict,
      'SENT_TO_POD',
    )
    const toNode = side.fromEndpointPod(replied(near, otherEntry))
    assert.deepEqual([toNode.verdict, dissect(toNode.out).source], ['SENT_TO_NODE', address(near)])
    await side.apply(rows(['process']))
    side.fromWorld(call(4, 'tcp', external, 80))
    assert.equal(side.fromWorld(direct(client, own)).verdict, 'PASS_NOT_OURS')
    const reply = send(side.node, 'to_world', side.node.devices.world, replied(own, client))
    assert.deepEqual([reply.verdict, dissect(reply.out).source], ['PASS_NOT_OURS', address(own)])
  })

  for (const [protocol, seconds, verdict] of [
    ['udp', 290, 'SENT_TO_WORLD'],
    ['udp', 310, 'SENT_TO_WORLD_MASQUERADED'],
    ['tcp', 310, 'SENT_TO_WORLD'],
    ['tcp', 7450, 'DROP_NO_MAPPING'],
  ] as const) {
    /* The clock of the programs begins with the machine. */
    const skip =
      uptime() < seconds && `the machine runs for less than ${seconds} s, so no packet can be so old`
    test(`${seconds} s after the last packet, a reply by ${protocol} is ${verdict}`, { skip }, async () => {
      await side.apply(rows(['near']))
      const { external, near } = ends[4]
      const { client_replies } = side.node.datapath.tables
      side.fromWorld(call(4, protocol, external, 80))
      const lastNs = process.hrtime.bigint() - BigInt(seconds) * 1_000_000_000n
      for (const [key, value] of [...client_replies.entries()]) client_replies.set(key, { ...value, lastNs })
      assert.equal(side.fromEndpointPod(answer(4, protocol, near)).verdict, verdict)
    })
  }

  test('what was for an earlier pod with the address is no reply of its successor', async () => {
    await side.apply(rows(['near']))
    side.fromWorld(call(4, 'tcp', ends[4].external, 80))
    const tables = standardTables(side.node)
    const pods = new Map(
      [...tables.pods].map(([ip, pod]) => [ip, { ...pod, sinceNs: process.hrtime.bigint() }] as const),
    )
    await side.node.datapath.apply({ ...tables, pods, services: rows(['near']) })
    assert.equal(side.fromEndpointPod(answer(4, 'tcp', ends[4].near)).verdict, 'DROP_NO_MAPPING')
  })

  test('ICMP errors about replies reach the endpoint, and those of the endpoint the client', async () => {
    await side.apply(rows(['near', 'far']))
    const { external, client, near, entry } = ends[4]
    assert.equal(side.fromTunnel(call(4, 'udp', external, 80), toEndpoint).verdict, 'SENT_TO_POD')
    const sent = ipv4(external, client).udp(80, 40000)
    const error = side.fromTunnel(ipv4('203.0.113.1', external).error('tooBig', sent), toEndpoint)
    assert.equal(error.verdict, 'SENT_TO_POD')
    const { about, destination, wrongChecksums } = dissect(error.out)
    assert.deepEqual([destination, wrongChecksums], [address(near), []])
    assert.deepEqual([about?.source, about?.sourcePort], [address(near), 8080])
    const refused = side.fromEndpointPod(
      ipv4(near, client).error('unreachable', ipv4(client, near).udp(40000, 8080)),
    )
    assert.equal(refused.verdict, 'SENT_TO_NODE')
    const out = dissect(refused.out)
    assert.deepEqual([out.source, out.wrongChecksums], [address(external), []])
    assert.deepEqual([out.about?.destination, out.about?.destinationPort], [address(external), 80])
    const stray = ipv4('203.0.113.1', external).error('tooBig', ipv4(external, client).udp(80, 49999))
    assert.equal(side.fromWorld(stray).verdict, 'DROP_NO_MAPPING')
    const about9 = ipv4('203.0.113.1', entry).error('tooBig', sent)
    side.fromWorld(call(4, 'udp', external, 80))
    assert.equal(side.fromWorld(about9).verdict, 'DROP_MALFORMED', 'it speaks of another address')
  })

  test('later fragments follow their first, at both nodes', async () => {
    const { client, external } = ends[4]
    const whole = ipv4(client, external).udp(40000, 80, Buffer.alloc(64)).subarray(34)
    const piece = (offset: number, hasMore: boolean) =>
      ipv4(client, external, { fragment: { id: 6, offset, hasMore } }).raw(17, whole.subarray(offset, offset + 40))
    for (const [place, verdict] of [['far', 'SENT_TO_ENDPOINT'], ['near', 'SENT_TO_POD']] as const) {
      await reset(side.node)
      await side.apply(rows([place]))
      assert.equal(side.fromWorld(piece(0, true)).verdict, verdict)
      assert.equal(side.fromWorld(piece(40, false)).verdict, verdict)
    }
    await reset(side.node)
    await side.apply(rows(['near']))
    for (const each of [piece(0, true), piece(40, false)])
      assert.equal(side.fromTunnel(each, toEndpoint).verdict, 'SENT_TO_POD')
  }) // biome-ignore format: pieces

  test('a client and an endpoint get an ICMP error for a packet that exceeds the MTU of the tunnel or of the route', async () => {
    await side.apply(rows(['far']))
    const { client, external, near } = ends[4]
    const big = (from: string, to: string, ports: readonly [number, number]) =>
      ipv4(from, to, { dontFragment: true }).udp(...ports, Buffer.alloc(1450))
    const told = side.fromWorld(big(client, external, [40000, 80]))
    assert.equal(told.verdict, 'SENT_TOO_BIG')
    assert.equal(dissect(told.out).source, address(external))
    await side.apply(rows(['near', 'far']))
    side.fromTunnel(call(4, 'udp', external, 80), toEndpoint)
    const reply = side.fromEndpointPod(big(near, client, [8080, 40000]))
    assert.equal(reply.verdict, 'SENT_TOO_BIG')
    assert.equal(dissect(reply.out).source, address(client))
    const huge = ipv4(external, client, { dontFragment: true }).udp(80, 40000, Buffer.alloc(1600))
    const atEntry = side.fromTunnel(huge, fromEndpoint)
    assert.equal(atEntry.verdict, 'SENT_TOO_BIG')
    assert.deepEqual([dissect(atEntry.out).source, dissect(atEntry.out).destination], [address(client), address(external)]) // biome-ignore format: one row
  })

  test('a flow of a pod never gets a port that a Service has on the egress IP', async () => {
    const ports = Array.from({ length: 15 }, (_, each) => 32768 + each)
    const claim = {
      ...row,
      endpoints: [],
      clients: { endpointsOf: 'anyNode' as const, local: [] },
    }
    await side.apply(
      ports.map((port) => ({ ...claim, address: address('172.18.0.42'), port, protocol: tcp })),
    )
    const taken = (port: number) => {
      const { verdict, out } = send(side.node, 'from_pod', side.node.devices.pod7, ipv4('10.244.1.7', `203.0.113.${port}`).tcp(40000, 443, syn)) // biome-ignore format: one row
      return verdict === 'SENT_TO_HOLDER' ? dissect(out).sourcePort : verdict
    }
    const seen = new Set(Array.from({ length: 40 }, (_, each) => taken(each + 1)))
    assert.ok(
      [...seen].every((each) => each === 32783 || each === 'DROP_NO_FREE_PORT'),
      `${[...seen]}`,
    )
    assert.ok(seen.has(32783))
  })

  test('a Service on an egress IP gets the packets to its port, although another node owns the block of that port', async () => {
    const endpoints = [{ address: address(ends[4].near), port: 8080 }]
    const clients = { endpointsOf: 'anyNode' as const, local: endpoints }
    await side.apply([
      { ...row, address: address('172.18.0.42'), port: 32784, protocol: tcp, endpoints, clients },
    ])
    assert.equal(side.fromWorld(call(4, 'tcp', '172.18.0.42', 32784)).verdict, 'SENT_TO_POD')
    assert.equal(side.fromWorld(call(4, 'tcp', '172.18.0.42', 32785, ack)).verdict, 'SENT_TO_OWNER')
  })

  test('neither node rewrites what is not of a Service', async () => {
    await side.apply(rows(['near']))
    const packet = call(4, 'tcp', ends[4].entry, 22)
    const there = side.fromWorld(packet)
    assert.equal(there.verdict, 'PASS_NOT_OURS')
    assert.deepEqual(there.out.subarray(12), packet.subarray(12))
    const reply = ipv4('172.18.0.3', ends[4].client).tcp(22, 40000, ack)
    const back = send(side.node, 'to_world', side.node.devices.world, reply)
    assert.equal(back.verdict, 'PASS_NOT_OURS')
    assert.deepEqual(back.out, reply)
  })
})
