import assert from 'node:assert/strict'
import { before, beforeEach, describe, test } from 'node:test'
import type { Desired } from '../../src/datapath/desired.ts'
import { prefix } from '../support/world-builder.ts'
import { dissect } from './dissect.ts'
import {
  type Journey,
  type NodeUnderTest,
  openNode,
  reset,
  send,
  skip,
  standardTables,
} from './node-under-test.ts'
import { address, ipv4, protocolNumber } from './packet.ts'
import {
  ends,
  type Family,
  type Place,
  places,
  readEnds,
  serviceAt,
  serviceTo,
  udp,
  ways,
} from './service-cases.ts'

const syn = { flags: ['SYN'] } as const
const ack = { flags: ['ACK'] } as const
type Protocol = 'tcp' | 'udp'

describe('Services without kube-proxy', { skip }, () => {
  let node: NodeUnderTest
  before(() => {
    node = openNode({ replaces_kube_proxy: 1 })
  })
  beforeEach(() => reset(node))

  const apply = (services: Desired['services']): Promise<unknown> => {
    const tables = standardTables(node)
    const cluster = new Map([
      ...tables.cluster,
      [prefix('2001:db8::4/128'), { kind: 'node', tunnelAddress: address('172.18.0.4') }] as const,
      [prefix('fd00:96::/112'), { kind: 'stack' }] as const,
    ])
    return node.datapath.apply({ ...tables, cluster, services })
  }
  const fromClient = (packet: Buffer): Journey => send(node, 'from_pod', node.devices.pod7, packet)
  const call = (family: Family, protocol: Protocol, options: object = syn, sourcePort = 40000): Journey => {
    const { packet, client, service } = ends(family)
    const ip = packet(client, service)
    return fromClient(protocol === 'tcp' ? ip.tcp(sourcePort, 80, options) : ip.udp(sourcePort, 80))
  }
  const answer = (family: Family, protocol: Protocol, place: Place, port: number): Journey => {
    const { packet, client, endpoints, egressIp } = ends(family)
    const ip = packet(endpoints[place], place === 'outside' ? egressIp : client)
    const { program, device, tunnel } = ways[place].back
    const options = { flags: ['SYN', 'ACK'] } as const
    return send(
      node,
      program,
      node.devices[device],
      protocol === 'tcp' ? ip.tcp(8080, port, options) : ip.udp(8080, port),
      tunnel,
    )
  }
  const chosen = (journey: Journey) => readEnds(journey).destination

  for (const place of places)
    for (const family of [4, 6] as const)
      for (const protocol of ['tcp', 'udp'] as const)
        test(`${protocol} over IPv${family} to an endpoint ${place}: it gets the packet, and its answer comes from the Service`, async () => {
          await apply(serviceTo(place))
          const { client, service, endpoints, egressIp } = ends(family)
          const there = call(family, protocol)
          assert.equal(there.verdict, ways[place].verdict)
          const { source, destination, sourcePort = 0, destinationPort } = readEnds(there)
          assert.deepEqual(
            [source, destination, destinationPort],
            [address(place === 'outside' ? egressIp : client), address(endpoints[place]), 8080],
          )
          const back = answer(family, protocol, place, sourcePort)
          assert.equal(back.verdict, ways[place].arrives)
          assert.deepEqual(readEnds(back), {
            source: address(service), destination: address(client), sourcePort: 80, destinationPort: 40000,
          }) // biome-ignore format: one row
        })

  for (const family of [4, 6] as const)
    for (const protocol of ['tcp', 'udp'] as const)
      test(`${protocol} over IPv${family}: a pod reaches itself by its own Service`, async () => {
        const { packet, client, service } = ends(family)
        await apply(serviceAt(family, [client]))
        const there = call(family, protocol)
        assert.equal(there.verdict, 'SENT_TO_POD')
        assert.deepEqual(readEnds(there), {
          source: address(service), destination: address(client), sourcePort: 40000, destinationPort: 8080,
        }) // biome-ignore format: one row
        const ip = packet(client, service)
        const options = { flags: ['SYN', 'ACK'] } as const
        const back = fromClient(protocol === 'tcp' ? ip.tcp(8080, 40000, options) : ip.udp(8080, 40000))
        assert.equal(back.verdict, 'SENT_TO_POD')
        assert.deepEqual(readEnds(back), {
          source: address(service), destination: address(client), sourcePort: 80, destinationPort: 40000,
        }) // biome-ignore format: one row
      })

  test('without endpoints, the pod learns at once that nobody listens', async () => {
    for (const family of [4, 6] as const)
      for (const protocol of ['tcp', 'udp'] as const) {
        const { client, service } = ends(family)
        await apply(serviceAt(family, []))
        const journey = call(family, protocol)
        assert.equal(journey.verdict, 'SENT_REFUSAL')
        const { source, destination, icmpType, icmpCode, about, wrongChecksums } = dissect(journey.out)
        assert.deepEqual([source, destination, wrongChecksums], [address(service), address(client), []])
        assert.deepEqual([icmpType, icmpCode], family === 4 ? [3, 3] : [1, 4])
        assert.deepEqual([about?.destination, about?.destinationPort], [address(service), 80])
      }
  })

  test('so it does at a port that the Service does not have, and an address that is no Service’s is left alone', async () => {
    await apply(serviceTo('near'))
    assert.equal(fromClient(ipv4('10.244.1.7', '10.96.0.7').tcp(40000, 81, syn)).verdict, 'SENT_REFUSAL')
    assert.equal(fromClient(ipv4('10.244.1.7', '10.96.0.8').tcp(40000, 80, syn)).verdict, 'PASS_TO_STACK')
  })

  test('and so it does if the settings do not know the range of the Service’s address', async () => {
    const { cluster, ...tables } = standardTables(node)
    const others = new Map([...cluster].filter(([each]) => each !== prefix('10.96.0.0/12')))
    await node.datapath.apply({ ...tables, cluster: others, services: serviceTo('near') })
    assert.equal(fromClient(ipv4('10.244.1.7', '10.96.0.7').tcp(40000, 81, syn)).verdict, 'SENT_REFUSAL')
  })

  test('no answer to a reset, an echo request or SCTP, which cannot be translated', async () => {
    await apply(serviceAt(4, []))
    const ip = ipv4('10.244.1.7', '10.96.0.7')
    assert.equal(fromClient(ip.tcp(40000, 80, { flags: ['RST'] })).verdict, 'DROP_NO_ENDPOINT')
    assert.equal(fromClient(ip.echo('request', 7)).verdict, 'DROP_NO_ENDPOINT')
    const sctp = ip.raw(protocolNumber.sctp, Buffer.alloc(12))
    assert.equal(fromClient(sctp).verdict, 'DROP_UNSUPPORTED_PROTOCOL')
  })

  test('an open connection keeps its endpoint when it ends, and new ones do not go there', async () => {
    await apply(serviceTo('far'))
    call(4, 'tcp')
    await apply(serviceTo('near'))
    assert.equal(chosen(call(4, 'tcp', ack)), address('10.244.2.9'))
    assert.equal(chosen(call(4, 'tcp', syn, 40001)), address('10.244.1.8'))
    assert.equal(chosen(call(4, 'tcp', syn)), address('10.244.1.8'), 'a new connection with the same ports')
  })

  test('datagrams go elsewhere as soon as their endpoint is gone, but not while it only ends', async () => {
    await apply(serviceTo('far'))
    assert.equal(chosen(call(4, 'udp')), address('10.244.2.9'))
    const leaving = [{ address: address('10.244.2.9'), port: 8080 }]
    await apply(serviceAt(4, ['10.244.1.8'], { leaving }))
    assert.equal(chosen(call(4, 'udp')), address('10.244.2.9'))
    assert.equal(chosen(call(4, 'udp', syn, 40001)), address('10.244.1.8'))
    await apply(serviceAt(4, ['10.244.1.8']))
    assert.equal(chosen(call(4, 'udp')), address('10.244.1.8'))
  })

  test('new connections are spread evenly', async () => {
    await apply(serviceTo('near', 'far', 'another node', 'this node'))
    const counts = new Map<string, number>()
    for (let port = 33000; port < 33400; port++) {
      const to = `${chosen(call(4, 'tcp', syn, port))}`
      counts.set(to, (counts.get(to) ?? 0) + 1)
    }
    assert.equal(counts.size, 4)
    for (const count of counts.values()) assert.ok(count > 70 && count < 130, `${[...counts.values()]}`)
  })

  test('a connection that the table has forgotten finds its endpoint again', async () => {
    await apply(serviceTo('near', 'far', 'another node', 'this node'))
    for (let port = 33000; port < 33020; port++) {
      const first = chosen(call(4, 'tcp', syn, port))
      const { service_flows, service_replies } = node.datapath.tables
      for (const [key] of [...service_flows.entries()]) service_flows.delete(key)
      for (const [key] of [...service_replies.entries()]) service_replies.delete(key)
      assert.equal(chosen(call(4, 'tcp', ack, port)), first)
    }
  })

  test('with session affinity a client keeps its endpoint until the timeout, or until it is gone', async () => {
    const both = ['10.244.1.8', '10.244.2.9']
    await apply(serviceAt(4, both, { affinityMs: 10_800_000 }))
    const seen = (first: number): Set<unknown> =>
      new Set(Array.from({ length: 20 }, (_, each) => chosen(call(4, 'tcp', syn, first + each))))
    const [kept] = seen(34000)
    assert.deepEqual(seen(34100), new Set([kept]))
    const other = both.filter((each) => address(each) !== kept)
    await apply(serviceAt(4, other, { affinityMs: 10_800_000 }))
    assert.deepEqual(seen(34200), new Set(other.map(address)))
    await apply(serviceAt(4, both, { affinityMs: 10_800_000 }))
    assert.deepEqual(seen(34300), new Set(other.map(address)))
    const { affinities } = node.datapath.tables
    for (const [key, value] of [...affinities.entries()]) affinities.set(key, { ...value, lastNs: 0n })
    await apply(serviceAt(4, both, { affinityMs: 1 }))
    assert.equal(seen(34400).size <= 2, true)
    assert.ok([...affinities.entries()].every(([, { lastNs }]) => lastNs > 0n))
  })

  test('a pod that opens a connection to the endpoint itself gets answers from the endpoint', async () => {
    await apply(serviceTo('near', 'far').filter(({ endpoints }) => endpoints.length > 0))
    await apply(serviceTo('far'))
    for (const protocol of ['tcp', 'udp'] as const) {
      call(4, protocol)
      const direct = ipv4('10.244.1.7', '10.244.2.9')
      fromClient(protocol === 'tcp' ? direct.tcp(40000, 8080, syn) : direct.udp(40000, 8080))
      assert.deepEqual(readEnds(answer(4, protocol, 'far', 40000)).source, address('10.244.2.9'))
    }
  })

  test('what no Service has is as it was', async () => {
    await apply(serviceTo('far'))
    const packet = ipv4('10.244.1.7', '10.244.1.8').tcp(40000, 8080, syn)
    const journey = fromClient(packet)
    assert.equal(journey.verdict, 'SENT_TO_POD')
    assert.equal(readEnds(journey).source, address('10.244.1.7'))
    const outward = fromClient(ipv4('10.244.1.7', '203.0.113.9').tcp(40000, 443, syn))
    assert.equal(outward.verdict, 'SENT_TO_HOLDER')
  })

  test('a selected pod never leaves with another address by a Service', async () => {
    for (const [endpoint, verdict] of [
      ['192.0.2.40', 'DROP_NETWORK_POLICY'],
      ['192.0.2.70', 'DROP_NO_GATEWAY'],
      ['198.51.100.9', 'SENT_TO_WORLD'],
      ['192.0.2.9', 'SENT_TO_WORLD_MASQUERADED'],
    ] as const) {
      await apply(serviceAt(4, [endpoint]))
      assert.equal(call(4, 'udp').verdict, verdict, endpoint)
    }
    await apply(serviceTo('outside'))
    await node.datapath.apply({ ...standardTables(node), services: serviceTo('outside'), groups: new Map() })
    assert.equal(call(4, 'tcp').verdict, 'DROP_NO_GATEWAY')
    assert.equal(call(4, 'tcp', ack, 40001).verdict, 'DROP_NO_MAPPING', 'in the middle of a connection')
  })

  test('no Service gives a pod’s datagram to a tunnel', async () => {
    const endpoints = [{ address: address('172.18.0.9'), port: 8472 }]
    await apply([
      { address: address('10.96.0.7'), port: 80, protocol: udp, affinityMs: 0, endpoints, leaving: [] },
    ])
    assert.equal(call(4, 'udp').verdict, 'DROP_TUNNEL_PORT')
  })

  test('ICMP errors of an endpoint are about the Service, and those of the pod about the endpoint', async () => {
    await apply(serviceTo('far'))
    call(4, 'udp')
    const sent = ipv4('10.244.1.7', '10.244.2.9').udp(40000, 8080)
    const error = send(
      node,
      'from_overlay',
      node.devices.world,
      ipv4('10.244.2.9', '10.244.1.7').error('unreachable', sent),
      { vni: 1, node: '172.18.0.4' },
    )
    assert.equal(error.verdict, 'SENT_TO_POD')
    const { about, source, wrongChecksums } = dissect(error.out)
    assert.deepEqual([source, wrongChecksums], [address('10.96.0.7'), []])
    assert.deepEqual([about?.destination, about?.destinationPort], [address('10.96.0.7'), 80])
    const reply = ipv4('10.96.0.7', '10.244.1.7').udp(80, 40000)
    const refused = fromClient(ipv4('10.244.1.7', '10.96.0.7').error('unreachable', reply))
    assert.equal(refused.verdict, 'SENT_TO_NODE')
    const out = dissect(refused.out)
    assert.deepEqual([out.destination, out.wrongChecksums], [address('10.244.2.9'), []])
    assert.deepEqual([out.about?.source, out.about?.sourcePort], [address('10.244.2.9'), 8080])
  })

  test('a packet to an endpoint outside that is too big for the tunnel is answered as the pod has sent it', async () => {
    await apply(serviceTo('outside'))
    const big = ipv4('10.244.1.7', '10.96.0.7', { dontFragment: true }).udp(40000, 80, Buffer.alloc(1450))
    const journey = fromClient(big)
    assert.equal(journey.verdict, 'SENT_TOO_BIG')
    const { about, source } = dissect(journey.out)
    assert.deepEqual([source, about?.destination, about?.destinationPort], [address('10.96.0.7'), address('10.96.0.7'), 80]) // biome-ignore format: one row
  })

  test('another pod of the node does not get answers of a flow that it has not opened', async () => {
    await apply(serviceTo('far'))
    call(4, 'tcp')
    const stray = ipv4('10.244.2.9', '10.244.1.8').tcp(8080, 40000, ack)
    const journey = send(node, 'from_overlay', node.devices.world, stray, { vni: 1, node: '172.18.0.4' })
    assert.equal(readEnds(journey).source, address('10.244.2.9'))
  })

  test('a change of one endpoint writes only what follows it', async () => {
    const many = Array.from({ length: 100 }, (_, index) => `10.244.3.${index + 1}`)
    await apply(serviceAt(4, many))
    const { puts, deletes } = (await apply(serviceAt(4, [...many, '10.244.4.1']))) as { puts: number; deletes: number } // biome-ignore format: one row
    assert.deepEqual([puts, deletes], [6, 0], `two protocols: a place, a member and the count each`)
  })
})
