import assert from 'node:assert/strict'
import { before, beforeEach, describe, test } from 'node:test'
import {
  type ClientSide,
  ends,
  families,
  nodeClients,
  nodePort,
  openForClients,
  packetOf,
  protocols,
  read,
  rows,
  syn,
} from './client-cases.ts'
import { dissect } from './dissect.ts'
import { type Journey, prefix, reset, skip } from './node-under-test.ts'
import { address } from './packet.ts'

/*
 * Processes of the node call Services at addresses that are not routed into the node's device for Services. What to_world puts in front of
 * from_pod, and what from_pod sends to the device, the tests hand on.
 */

const synAck = { flags: ['SYN', 'ACK'] } as const
const ack = { flags: ['ACK'] } as const

describe('processes of the node, without kube-proxy', { skip }, () => {
  let side: ClientSide
  before(() => {
    side = openForClients()
  })
  beforeEach(() => reset(side.node))

  for (const family of families)
    for (const protocol of protocols)
      for (const [name, to, port] of [
        ['a node port of their own node', ends[family].entry, nodePort],
        ['a node port of another node', ends[family].otherEntry, nodePort],
        ['an external address', ends[family].external, 80],
      ] as const) {
        const { entry, near, far, outside } = ends[family]
        const { address: client, turned } = nodeClients[family]
        const title = `${protocol} over IPv${family} to ${name}`
        const calls = (options: object = syn) =>
          side.fromProcess(packetOf(family, protocol, [entry, to], [40000, port], options))
        const answered = (journey: Journey): void => {
          assert.equal(journey.verdict, 'SENT_TO_POD')
          assert.deepEqual(read(journey), [address(to), port, client, 40000])
          const back = side.toProcess(journey.out)
          assert.equal(back.verdict, 'PASS_TO_STACK')
          assert.deepEqual(read(back), [address(to), port, address(entry), 40000])
        }

        test(`${title}: a pod of the node sees the node as its client, and the answer comes from there`, async () => {
          await side.apply(rows(['near']))
          const first = calls()
          assert.equal(first.verdict, 'SENT_TO_POD')
          assert.deepEqual(read(first), [client, 40000, address(to), port])
          const there = side.fromDevice(first.out)
          assert.equal(there.verdict, 'SENT_TO_POD')
          assert.deepEqual(read(there), [client, 40000, address(near), 8080])
          answered(side.fromEndpointPod(packetOf(family, protocol, [near, client], [8080, 40000], synAck)))
        })

        test(`${title}: a pod of another node gets it through the tunnel, and the answer comes from there`, async () => {
          await side.apply(rows(['far']))
          const there = side.fromDevice(calls().out)
          assert.equal(there.verdict, 'SENT_TO_NODE')
          assert.deepEqual(read(there), [client, 40000, address(far), 8080])
          const reply = packetOf(family, protocol, [far, client], [8080, 40000], synAck)
          answered(side.fromTunnel(reply, { vni: 1, node: '172.18.0.4' }))
        })

        test(`${title}: a process of the node sees an address that leads its answer back`, async () => {
          await side.apply(rows(['process']))
          const there = side.fromDevice(calls().out)
          assert.deepEqual(read(there), [turned, 40000, address(entry), 8080])
          const arriving = side.toProcess(there.out)
          assert.equal(arriving.verdict, 'PASS_TO_STACK')
          assert.deepEqual(read(arriving), read(there))
          answered(side.fromDevice(packetOf(family, protocol, [entry, turned], [8080, 40000], synAck)))
        })

        test(`${title}: a server outside sees the node's address, and its answer comes from the Service`, async () => {
          await side.apply(rows(['outside']))
          const there = side.fromDevice(calls().out)
          assert.equal(there.verdict, 'SENT_TO_WORLD_MASQUERADED')
          const [source, taken] = read(there)
          assert.equal(source, address(entry))
          answered(
            side.fromWorld(packetOf(family, protocol, [outside, entry], [8080, Number(taken)], synAck)),
          )
        })
      }

  const { entry, otherEntry, external } = ends[4]
  const { address: client } = nodeClients[4]

  test('a Service without endpoints refuses, and the process learns it about the packet that it has sent', async () => {
    await side.apply(rows([]))
    const refused = side.fromDevice(
      side.fromProcess(packetOf(4, 'udp', [entry, otherEntry], [40000, nodePort])).out,
    )
    assert.equal(refused.verdict, 'SENT_REFUSAL')
    const { destination, about, wrongChecksums } = dissect(side.toProcess(refused.out).out)
    assert.deepEqual([destination, about?.source, wrongChecksums], [address(entry), address(entry), []])
    assert.deepEqual([about?.destination, about?.destinationPort], [address(otherEntry), nodePort])
  })

  test('both sides learn the MSS of the tunnel, because the process has chosen that of its route', async () => {
    await side.apply(rows(['near']))
    const mss = { mss: 65495 }
    const there = side.fromProcess(packetOf(4, 'tcp', [entry, entry], [40000, nodePort], { ...syn, ...mss }))
    assert.equal(dissect(there.out).mss, 1410)
    side.fromDevice(there.out)
    const back = side.toProcess(
      packetOf(4, 'tcp', [entry, client], [nodePort, 40000], { ...synAck, mss: 1460 }),
    )
    assert.equal(dissect(back.out).mss, 1410)
  })

  test('what is not for a Service, or not from a process, leaves as it is', async () => {
    await side.apply(rows(['near']))
    for (const [what, packet] of [
      ['another port of a node', packetOf(4, 'tcp', [entry, otherEntry], [40000, 22], syn)],
      ['another port of an external address', packetOf(4, 'tcp', [entry, external], [40000, 443], syn)],
      ['a packet of the tunnel', packetOf(4, 'udp', [entry, otherEntry], [40000, 8472])],
      ['a forwarded packet', packetOf(4, 'tcp', ['198.51.100.9', external], [40000, 80], syn)],
      ['an answer to a client of the node', packetOf(4, 'tcp', [entry, '203.0.113.9'], [22, nodePort], ack)],
    ] as const) {
      const journey = side.fromProcess(packet)
      assert.equal(journey.verdict, 'PASS_NOT_OURS', what)
      assert.deepEqual(journey.out, packet, what)
    }
  })

  test('a process that sends from the client’s address gets the answer there, although another flow had its ports', async () => {
    await side.apply(rows(['near']))
    side.fromProcess(packetOf(4, 'tcp', [entry, external], [40000, 80], syn))
    const reply = packetOf(4, 'tcp', [external, client], [80, 40000], synAck)
    assert.equal(read(side.toProcess(reply))[2], address(entry))
    assert.equal(
      side.fromProcess(packetOf(4, 'tcp', [client, external], [40000, 80], syn)).verdict,
      'PASS_NOT_OURS',
    )
    assert.equal(read(side.toProcess(reply))[2], client)
  })

  test('a Service with source ranges admits a process by the address of its node', async () => {
    for (const [source, verdict] of [
      ['172.18.0.0/16', 'SENT_TO_POD'],
      ['192.0.2.0/24', 'DROP_SOURCE_RANGES'],
    ] as const) {
      await side.apply(rows(['near'], { sources: [prefix(source)] }))
      const journey = side.fromProcess(packetOf(4, 'tcp', [entry, external], [40000, 80], syn))
      assert.equal(journey.verdict, verdict)
      if (verdict === 'SENT_TO_POD') assert.equal(side.fromDevice(journey.out).verdict, 'SENT_TO_POD')
    }
  })
})
