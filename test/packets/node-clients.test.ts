import assert from 'node:assert/strict'
import { before, beforeEach, describe, test } from 'node:test'
import type { Desired } from '../../src/datapath/desired.ts'
import { Netlink } from '../../src/linux/netlink.ts'
import { prefix } from '../support/world-builder.ts'
import { dissect } from './dissect.ts'
import { type Journey, mac, makeDevice, type NodeUnderTest, openNode, reset, send, skip, standardTables } from './node-under-test.ts' // biome-ignore format: one line
import { address, ipv4, ipv6 } from './packet.ts'
import {
  ends,
  type Family,
  type Place,
  places,
  readEnds,
  serviceAt,
  serviceTo,
  ways,
} from './service-cases.ts'

/* The node's own processes reach Services as a pod does, from an address of the pod network that nothing else uses. */

const syn = { flags: ['SYN'] } as const
const synAck = { flags: ['SYN', 'ACK'] } as const
const clients = { 4: '10.244.1.1', 6: 'fd00:1::1' } as const
/** From which a process sees another one of its node. */
const turned = { 4: '10.244.1.0', 6: 'fd00:1::' } as const
const own = { 4: '172.18.0.3', 6: '2001:db8::3' } as const
/** Node processes are not selected by the policy that pods would leave by. */
const outside = { 4: '203.0.113.9', 6: '2001:db8:ffff::9' } as const
type Protocol = 'tcp' | 'udp'

describe('Services for processes of the node', { skip }, () => {
  let node: NodeUnderTest
  let wire: number
  before(() => {
    node = openNode({ replaces_kube_proxy: 1 })
    using netlink = new Netlink()
    wire = makeDevice(netlink, 'svc')
  })
  beforeEach(() => reset(node))

  const apply = (services: Desired['services']): Promise<unknown> => {
    const tables = standardTables(node)
    const itself = {
      policySet: 0n, networkSet: 0n, sinceNs: 0n, ifindex: wire, mac: mac.host7, hostMac: mac.pod7,
      isQuarantined: false, isNode: true,
    } // biome-ignore format: short
    const cluster = new Map([
      ...tables.cluster,
      [prefix('2001:db8::4/128'), { kind: 'node', tunnelAddress: address('172.18.0.4') }] as const,
      [prefix('fd00:96::/112'), { kind: 'stack' }] as const,
    ])
    const pods = new Map([
      ...tables.pods,
      ...Object.values(clients).map((each) => [address(each), itself] as const),
    ])
    const nodeClients = new Map(
      ([4, 6] as const).map((family) => [
        family,
        { address: address(clients[family]), turned: address(turned[family]) },
      ]),
    )
    return node.datapath.apply({ ...tables, cluster, pods, services, nodeClients }) // biome-ignore format: one row
  }
  const fromNode = (packet: Buffer): Journey => send(node, 'from_pod', wire, packet)
  const from = (family: Family, source: string) => (family === 4 ? ipv4 : ipv6)(source, ends(family).service)
  const call = (family: Family, protocol: Protocol, port = 40000): Journey => {
    const ip = from(family, clients[family])
    return fromNode(protocol === 'tcp' ? ip.tcp(port, 80, syn) : ip.udp(port, 80))
  }

  for (const place of places.filter((each) => each !== 'outside' && each !== 'this node'))
    for (const family of [4, 6] as const)
      for (const protocol of ['tcp', 'udp'] as const)
        test(`${protocol} over IPv${family} to an endpoint ${place}: its answer comes to the node from the Service`, async () => {
          await apply(serviceTo(place))
          const { packet, service, endpoints } = ends(family)
          const there = call(family, protocol)
          assert.equal(there.verdict, ways[place].verdict)
          assert.deepEqual(readEnds(there), {
            source: address(clients[family]), destination: address(endpoints[place]), sourcePort: 40000, destinationPort: 8080,
          }) // biome-ignore format: one row
          const { program, device, tunnel } = ways[place].back
          const ip = packet(endpoints[place], clients[family])
          const answer = protocol === 'tcp' ? ip.tcp(8080, 40000, synAck) : ip.udp(8080, 40000)
          const back = send(node, program, node.devices[device], answer, tunnel)
          assert.equal(back.verdict, 'SENT_TO_POD')
          assert.deepEqual(readEnds(back), {
            source: address(service), destination: address(clients[family]), sourcePort: 80, destinationPort: 40000,
          }) // biome-ignore format: one row
        })

  for (const family of [4, 6] as const)
    for (const protocol of ['tcp', 'udp'] as const)
      test(`${protocol} over IPv${family}: the node reaches its own process, which sees ${turned[family]}, and the answer finds back`, async () => {
        await apply(serviceTo('this node'))
        const { service } = ends(family)
        const there = call(family, protocol)
        assert.equal(there.verdict, 'SENT_TO_POD')
        assert.deepEqual(readEnds(there), {
          source: address(turned[family]), destination: address(own[family]), sourcePort: 40000, destinationPort: 8080,
        }) // biome-ignore format: one row
        const ip = ends(family).packet(own[family], turned[family])
        const back = fromNode(protocol === 'tcp' ? ip.tcp(8080, 40000, synAck) : ip.udp(8080, 40000))
        assert.equal(back.verdict, 'SENT_TO_POD')
        assert.deepEqual(readEnds(back), {
          source: address(service), destination: address(clients[family]), sourcePort: 80, destinationPort: 40000,
        }) // biome-ignore format: one row
      })

  test('a process that listens at all addresses may answer from the address that the route names', async () => {
    await apply(serviceTo('this node'))
    call(4, 'udp')
    const back = fromNode(ipv4(clients[4], turned[4]).udp(8080, 40000))
    assert.deepEqual([readEnds(back).source, readEnds(back).sourcePort], [address('10.96.0.7'), 80])
  })

  test('outside the cluster, it leaves with the node’s address, whatever policies say, and its answer comes back', async () => {
    await apply(serviceAt(4, [outside[4]]))
    const there = call(4, 'tcp')
    assert.equal(there.verdict, 'SENT_TO_WORLD_MASQUERADED')
    const { source, destination, sourcePort = 0 } = readEnds(there)
    assert.deepEqual([source, destination], [address(own[4]), address(outside[4])])
    const answer = ipv4(outside[4], own[4]).tcp(8080, sourcePort, synAck)
    const back = send(node, 'from_world', node.devices.world, answer)
    assert.equal(back.verdict, 'SENT_TO_POD')
    assert.deepEqual([readEnds(back).source, readEnds(back).destinationPort], [address('10.96.0.7'), 40000])
  })

  test('a flow to outside stays when an agent starts again', async () => {
    await apply(serviceAt(4, [outside[4]]))
    const { sourcePort } = readEnds(call(4, 'tcp'))
    await apply(serviceAt(4, []))
    const later = fromNode(from(4, clients[4]).tcp(40000, 80, { flags: ['ACK'] }))
    assert.equal(later.verdict, 'SENT_TO_WORLD_MASQUERADED')
    assert.equal(readEnds(later).sourcePort, sourcePort)
  })

  test('without endpoints, or at a port that the Service does not have, it is refused at once', async () => {
    await apply(serviceAt(4, []))
    for (const [protocol, port] of [['tcp', 80], ['udp', 80], ['tcp', 81], ['udp', 81]] as const) {
      const ip = from(4, clients[4])
      const journey = fromNode(protocol === 'tcp' ? ip.tcp(40000, port, syn) : ip.udp(40000, port))
      assert.equal(journey.verdict, 'SENT_REFUSAL')
      assert.deepEqual(dissect(journey.out).destination, address(clients[4]))
    } // biome-ignore format: the table is one row
  })

  test('all processes of the node are one client for session affinity', async () => {
    await apply(serviceAt(4, ['10.244.1.8', '10.244.2.9'], { affinityMs: 10_800_000 }))
    const seen = new Set(
      Array.from({ length: 20 }, (_, each) => readEnds(call(4, 'tcp', 34000 + each)).destination),
    )
    assert.equal(seen.size, 1) // biome-ignore format: one row
  })

  test('an error that the node’s process reports is about the Service, too', async () => {
    await apply(serviceTo('this node'))
    call(4, 'udp')
    const got = ipv4(turned[4], own[4]).udp(40000, 8080)
    const back = fromNode(ipv4(own[4], turned[4]).error('unreachable', got))
    assert.equal(back.verdict, 'SENT_TO_POD')
    const { source, destination, about, wrongChecksums } = dissect(back.out)
    assert.deepEqual([source, destination, wrongChecksums], [address('10.96.0.7'), address(clients[4]), []])
    assert.deepEqual([about?.source, about?.destination, about?.destinationPort], [address(clients[4]), address('10.96.0.7'), 80]) // biome-ignore format: one row
  })

  test('nothing else may come by the device: neither other addresses of the node nor forwarded packets', async () => {
    await apply(serviceTo('near', 'this node'))
    for (const [source, verdict] of [
      [own[4], 'DROP_UNKNOWN_POD'],
      ['198.51.100.9', 'DROP_UNKNOWN_POD'],
      ['10.244.1.7', 'DROP_SPOOFED_SOURCE'],
    ] as const)
      assert.equal(fromNode(from(4, source).tcp(40000, 80, syn)).verdict, verdict, source)
  })

  test('a pod cannot answer in the node’s name', async () => {
    await apply(serviceTo('this node'))
    call(4, 'tcp')
    const forged = ipv4(own[4], turned[4]).tcp(8080, 40000, synAck)
    assert.equal(send(node, 'from_pod', node.devices.pod7, forged).verdict, 'DROP_SPOOFED_SOURCE')
  })

  test('a pod reaches the node by the address, and the node’s answer is left as it is', async () => {
    await apply(serviceTo('near' satisfies Place))
    const journey = send(
      node,
      'from_pod',
      node.devices.pod8,
      ipv4('10.244.1.8', clients[4]).tcp(40000, 10250, syn),
    )
    assert.equal(journey.verdict, 'SENT_TO_POD') // biome-ignore format: one row
    assert.equal(readEnds(journey).source, address('10.244.1.8'))
  })
})
