import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { findDevice } from '../src/linux/devices.ts'
import { Netlink } from '../src/linux/netlink.ts'
import { macBytes } from '../src/net/mac.ts'
import { established } from '../test/packets/flows.ts'
import { openNode, ourPorts, reset, slot2Port, standardTables } from '../test/packets/node-under-test.ts'
import { address, ipv4 } from '../test/packets/packet.ts'
import type { Figure } from './programs.ts'
import { importKernel, TestRuns } from './test-runs.ts'

/**
 * The nanoseconds that each program takes for a packet of an open TCP flow by the link. It runs in a process of its own, and answers
 * each line of its input.
 */
const data = { flags: ['ACK', 'PSH'] as const, payload: 'x'.repeat(64) }
const other = { tunnelAddress: address('172.18.0.4'), mac: '02:00:00:00:04:01' } as const
/** A router, from which packets of the world come. */
const router = '02:00:00:00:99:01'

const node = openNode({ link_path: 1, simulated_tunnel: 0 })
using netlink = new Netlink()
const ownMac = findDevice(netlink, 'world')?.mac ?? ''
await reset(node)
const { pod7, world } = node.devices
/** It counts as answered for as long as this process runs. */
const answeredNs = process.hrtime.bigint() * 2n
const link = { answeredNs, probeSource: undefined, ifindex: world, mtu: 1500, mac: other.mac, ownMac }
await node.datapath.apply({
  ...standardTables(node),
  links: new Map([[other.tunnelAddress, link]]),
  linkMacs: new Map([[other.mac, other.tunnelAddress]]),
})
node.datapath.tables.links.set(other.tunnelAddress, link)
established()(node)
const runs = new TestRuns(node, await importKernel(join(import.meta.dirname, '..')))

function measure(): Figure[] {
  const framed = (packet: Buffer, source: string): Buffer =>
    Buffer.concat([macBytes(ownMac), macBytes(source), packet.subarray(12)])
  const fromPod = ipv4('10.244.1.7', '203.0.113.9').tcp(40000, 443, data)
  const translated = framed(ipv4('172.18.0.43', '203.0.113.9').tcp(slot2Port, 443, data), other.mac)
  const answer = framed(ipv4('203.0.113.9', '172.18.0.43').tcp(443, slot2Port, data), router)
  const forPod = framed(ipv4('203.0.113.9', '172.18.0.42').tcp(443, ourPorts.first, data), other.mac)
  return [
    ['by link, outward: from_pod, source node', runs.repeated('from_pod', fromPod, { ifindex: pod7 })],
    ['by link, outward: from_world, gateway', runs.repeated('from_world', translated, { ifindex: world })],
    ['by link, reply: from_world, gateway', runs.repeated('from_world', answer, { ifindex: world })],
    ['by link, reply: from_world, source node', runs.repeated('from_world', forPod, { ifindex: world })],
  ]
}

for await (const _line of createInterface({ input: process.stdin }))
  process.stdout.write(`${JSON.stringify(measure())}\n`)
process.exit()
