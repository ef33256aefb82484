import assert from 'node:assert/strict'
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
  packetOf,
  protocols,
  read,
  rows,
  syn,
  toEndpoint,
} from './client-cases.ts'
import { dissect } from './dissect.ts'
import { reset, send, skip } from './node-under-test.ts'
import { address } from './packet.ts'

describe('clients outside the cluster, without kube-proxy', { skip }, () => {
  let side: ClientSide
  before(() => {
    side = openForClients()
  })
  beforeEach(() => reset(side.node))

  for (const family of families)
    for (const protocol of protocols)
      for (const [name, to, port] of [
        ['a node port', ends[family].entry, nodePort],
        ['an external address', ends[family].external, 80],
      ] as const) {
        const { client, near, process } = ends[family]

        test(`${protocol} over IPv${family} to ${name}: a pod of the entry node sees its client, who gets the answer from there`, async () => {
          await side.apply(rows(['near']))
          const there = side.fromWorld(call(family, protocol, to, port))
          assert.equal(there.verdict, 'SENT_TO_POD')
          assert.deepEqual(read(there), [address(client), 40000, address(near), 8080])
          const back = side.fromEndpointPod(answer(family, protocol, near))
          assert.equal(back.verdict, 'SENT_TO_WORLD')
          assert.deepEqual(read(back), [address(to), port, address(client), 40000])
        })

        test(`${protocol} over IPv${family} to ${name}: the entry node sends it to the endpoint's node as it is`, async () => {
          await side.apply(rows(['far']))
          const there = side.fromWorld(call(family, protocol, to, port))
          assert.equal(there.verdict, 'SENT_TO_ENDPOINT')
          assert.deepEqual(read(there), [address(client), 40000, address(to), port])
          const back = side.fromTunnel(packetOf(family, protocol, [to, client], [port, 40000]), fromEndpoint)
          assert.equal(back.verdict, 'SENT_FORWARDED')
          assert.deepEqual(read(back), [address(to), port, address(client), 40000])
        })

        test(`${protocol} over IPv${family} to ${name}: the endpoint's node translates it, and its answer goes back to the entry node`, async () => {
          await side.apply(rows(['near', 'far']))
          const there = side.fromTunnel(call(family, protocol, to, port), toEndpoint)
          assert.equal(there.verdict, 'SENT_TO_POD')
          assert.deepEqual(read(there), [address(client), 40000, address(near), 8080])
          const back = side.fromEndpointPod(answer(family, protocol, near))
          assert.equal(back.verdict, 'SENT_TO_NODE')
          assert.deepEqual(read(back), [address(to), port, address(client), 40000])
        })

        test(`${protocol} over IPv${family} to ${name}: a process of the entry node answers from there`, async () => {
          await side.apply(rows(['process']))
          const there = side.fromWorld(call(family, protocol, to, port))
          assert.equal(there.verdict, 'PASS_TO_HOST')
          assert.deepEqual(read(there), [address(client), 40000, address(process), 8080])
          const back = send(side.node, 'to_world', side.node.devices.world, answer(family, protocol, process))
          assert.equal(back.verdict, 'PASS_REPLY')
          assert.deepEqual(read(back), [address(to), port, address(client), 40000])
        })

        test(`${protocol} over IPv${family} to ${name}: a process of another node answers by the entry node`, async () => {
          await side.apply(rows(['process']))
          const there = side.fromTunnel(call(family, protocol, to, port), toEndpoint)
          assert.equal(there.verdict, 'PASS_TO_HOST')
          const back = send(side.node, 'to_world', side.node.devices.world, answer(family, protocol, process))
          assert.equal(back.verdict, 'SENT_TO_NODE')
          assert.deepEqual(read(back), [address(to), port, address(client), 40000])
        })

        test(`${protocol} over IPv${family} to ${name}: without endpoints, the client learns at once that nobody listens`, async () => {
          await side.apply(rows([]))
          const journey = side.fromWorld(call(family, protocol, to, port))
          assert.equal(journey.verdict, 'SENT_REFUSAL')
          const { source, destination, icmpType, icmpCode, wrongChecksums } = dissect(journey.out)
          assert.deepEqual([source, destination, wrongChecksums], [address(to), address(client), []])
          assert.deepEqual([icmpType, icmpCode], family === 4 ? [3, 3] : [1, 4])
        })

        test(`${protocol} over IPv${family} to ${name}: with the policy Local only endpoints of the entry node count`, async () => {
          await side.apply(rows(['near', 'far'], { endpointsOf: 'thisNode' }))
          for (let each = 0; each < 20; each++) {
            const journey = side.fromWorld(call(family, protocol, to, port, syn, 41000 + each))
            assert.equal(journey.verdict, 'SENT_TO_POD')
          }
          await side.apply(rows(['far'], { endpointsOf: 'thisNode' }))
          assert.equal(
            side.fromWorld(call(family, protocol, to, port, syn, 42000)).verdict,
            'DROP_NO_ENDPOINT',
          )
        })

        test(`${protocol} over IPv${family} to ${name}: without endpoints, the client learns at once`, async () => {
          await side.apply(rows([]))
          const journey = side.fromWorld(call(family, protocol, to, port, syn, 42000))
          assert.equal(journey.verdict, 'SENT_REFUSAL')
          const { source, destination } = dissect(journey.out)
          assert.deepEqual([source, destination], [address(to), address(client)])
        })

        test(`${protocol} over IPv${family} to ${name}: a server outside gets it from the entry node, and its answer comes from the Service`, async () => {
          await side.apply(rows(['outside']))
          const first = side.fromWorld(call(family, protocol, to, port))
          assert.equal(first.verdict, 'SENT_TO_ENDPOINT')
          assert.deepEqual(read(first), [address(client), 40000, address(to), port])
          const there = side.fromDevice(first.out)
          assert.equal(there.verdict, 'SENT_TO_WORLD_MASQUERADED')
          const { entry, outside } = ends[family]
          const [source, sourcePort, ...server] = read(there)
          assert.deepEqual([source, ...server], [address(entry), address(outside), 8080])
          const reply = packetOf(family, protocol, [outside, entry], [8080, Number(sourcePort)], { flags: ['SYN', 'ACK'] }) // biome-ignore format: one row
          const back = side.fromWorld(reply)
          assert.equal(back.verdict, 'SENT_TO_WORLD')
          assert.deepEqual(read(back), [address(to), port, address(client), 40000])
          const later = side.fromDevice(side.fromWorld(call(family, protocol, to, port, ack)).out)
          assert.deepEqual(read(later), read(there), 'the next packet has the same port')
        })
      }

  test('new connections are spread over endpoints inside and outside the cluster', async () => {
    await side.apply(rows(['outside', 'near']))
    const seen = Array.from(
      { length: 40 },
      (_, each) => side.fromWorld(call(4, 'tcp', ends[4].external, 80, syn, 41000 + each)).verdict,
    )
    assert.deepEqual(new Set(seen), new Set(['SENT_TO_POD', 'SENT_TO_ENDPOINT']))
  })

  test('the port of a client stays taken while the connection is open, although the client is no pod', async () => {
    await side.apply(rows(['outside']))
    const { entry, outside, client, external } = ends[4]
    const ports = Array.from({ length: 16 }, (_, each) => {
      const there = side.fromDevice(side.fromWorld(call(4, 'udp', external, 80, syn, 41000 + each)).out)
      return there.verdict === 'SENT_TO_WORLD_MASQUERADED' ? Number(read(there)[1]) : 0
    })
    const taken = ports.filter((each) => each > 0)
    assert.equal(new Set(taken).size, taken.length, 'no two flows share a port')
    for (const [index, port] of ports.entries()) {
      if (port === 0) continue
      const back = side.fromWorld(packetOf(4, 'udp', [outside, entry], [8080, port]))
      assert.deepEqual(read(back), [address(external), 80, address(client), 41000 + index])
    }
  })

  test('a client may itself be the endpoint', async () => {
    const { client, entry, external } = ends[4]
    const endpoints = [{ address: address(client), port: 8080 }]
    await side.apply(rows(['outside']).map((each) => ({ ...each, endpoints })))
    const there = side.fromDevice(side.fromWorld(call(4, 'tcp', external, 80)).out)
    const [source, taken, ...server] = read(there)
    assert.deepEqual([source, ...server], [address(entry), address(client), 8080])
    const back = side.fromWorld(packetOf(4, 'tcp', [client, entry], [8080, Number(taken)]))
    assert.deepEqual(read(back), [address(external), 80, address(client), 40000])
  })

  test('a packet of another host that is routed into the device of the node’s processes is dropped', async () => {
    await side.apply(rows(['outside', 'near']))
    assert.equal(side.fromDevice(call(4, 'tcp', ends[4].external, 80)).verdict, 'DROP_UNKNOWN_POD')
  })

  test('an entry node whose own hints lead outside the cluster sends its clients there, and takes what other entry nodes send', async () => {
    const near = [{ address: address(ends[4].near), port: 8080 }]
    const hinted = rows(['outside']).map((each) =>
      each.clients === undefined ? each : { ...each, leaving: near, clients: { ...each.clients, local: near } },
    ) // biome-ignore format: short
    await side.apply(hinted)
    const to = ends[4].external
    assert.equal(
      side.fromDevice(side.fromWorld(call(4, 'tcp', to, 80)).out).verdict,
      'SENT_TO_WORLD_MASQUERADED',
    )
    assert.equal(side.fromTunnel(call(4, 'tcp', to, 80, syn, 41000), toEndpoint).verdict, 'SENT_TO_POD')
    const local = hinted.map((each) =>
      each.clients === undefined
        ? each
        : { ...each, clients: { ...each.clients, endpointsOf: 'thisNode' as const } },
    )
    await side.apply(local)
    const ofLocal = side.fromWorld(call(4, 'tcp', to, 80, syn, 42000)).verdict
    assert.equal(ofLocal, 'SENT_TO_POD', 'hints do not count with the policy Local')
  })

  test('all entry nodes choose the same endpoint, and each endpoint gets its share of both steps', async () => {
    await side.apply(rows(['near', 'far', 'process']))
    const counts = new Map<string, number>()
    for (let port = 33000; port < 33300; port++) {
      const { verdict } = side.fromWorld(call(4, 'tcp', ends[4].external, 80, syn, port))
      counts.set(verdict, (counts.get(verdict) ?? 0) + 1)
      const { client_flows } = side.node.datapath.tables
      for (const [key] of [...client_flows.entries()]) client_flows.delete(key)
      assert.equal(side.fromWorld(call(4, 'tcp', ends[4].external, 80, ack, port)).verdict, verdict)
    }
    assert.deepEqual([...counts.keys()].sort(), ['PASS_TO_HOST', 'SENT_TO_ENDPOINT', 'SENT_TO_POD'])
    for (const count of counts.values()) assert.ok(count > 70 && count < 130, `${[...counts.values()]}`)
  })

  test('the second step spreads evenly, whatever the first has chosen', async () => {
    await side.apply(rows(['near', 'far', 'process', 'outside']))
    const counts = new Map<string, number>()
    for (let port = 33000; port < 33400; port++) {
      if (side.fromWorld(call(4, 'tcp', ends[4].external, 80, syn, port)).verdict !== 'SENT_TO_ENDPOINT')
        continue
      const { verdict } = side.fromTunnel(call(4, 'tcp', ends[4].external, 80, syn, port), toEndpoint)
      counts.set(verdict, (counts.get(verdict) ?? 0) + 1)
    }
    const [few = 0, many = 0] = [...counts.values()].toSorted((a, b) => a - b)
    assert.equal(counts.size, 2)
    assert.ok(few * 2 > many, `${[few, many]}`)
  })

  test('an open connection keeps its endpoint when the endpoints change, and new ones do not go there', async () => {
    await side.apply(rows(['far']))
    const to = ends[4].external
    side.fromWorld(call(4, 'tcp', to, 80))
    await side.apply(rows(['near']))
    assert.equal(side.fromWorld(call(4, 'tcp', to, 80, ack)).verdict, 'SENT_TO_ENDPOINT')
    assert.equal(side.fromWorld(call(4, 'tcp', to, 80, syn, 40001)).verdict, 'SENT_TO_POD')
  })

  test('an entry node that hints lead elsewhere sends nothing to its own endpoint, which takes what other entry nodes send', async () => {
    const here = { address: address(ends[4].near), port: 8080 }
    const hinted = rows(['far']).map((each) =>
      each.clients === undefined ? each : { ...each, leaving: [here], clients: { ...each.clients, local: [here] } },
    ) // biome-ignore format: short
    await side.apply(hinted)
    const to = ends[4].external
    for (const protocol of protocols) {
      assert.equal(side.fromWorld(call(4, protocol, to, 80)).verdict, 'SENT_TO_ENDPOINT')
      for (const options of [syn, ack]) {
        const journey = side.fromTunnel(call(4, protocol, to, 80, options, 41000), toEndpoint)
        assert.equal(journey.verdict, 'SENT_TO_POD')
      }
      const reply = packetOf(4, protocol, [ends[4].near, ends[4].client], [8080, 41000])
      assert.equal(side.fromEndpointPod(reply).verdict, 'SENT_TO_NODE')
    }
  })

  test('datagrams go elsewhere as soon as their endpoint is gone', async () => {
    await side.apply(rows(['near']))
    const to = ends[4].external
    assert.equal(side.fromWorld(call(4, 'udp', to, 80)).verdict, 'SENT_TO_POD')
    await side.apply(rows(['far']))
    assert.equal(side.fromWorld(call(4, 'udp', to, 80)).verdict, 'SENT_TO_ENDPOINT')
  })

  test('with session affinity, all connections of a client have one endpoint, whichever node they enter', async () => {
    await side.apply(rows(['near', 'far'], { affinityMs: 1000 }))
    const verdicts = [ends[4].entry, ends[4].otherEntry].flatMap((to) =>
      Array.from({ length: 20 }, (_, each) => side.fromWorld(call(4, 'tcp', to, nodePort, syn, 41000 + each)).verdict),
    ) // biome-ignore format: short
    assert.equal(new Set(verdicts).size, 1)
  })
})
