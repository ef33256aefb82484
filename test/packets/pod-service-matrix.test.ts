import assert from 'node:assert/strict'
import { before, beforeEach, describe, test } from 'node:test'
import type { ClusterEntry } from '../../src/datapath/tables/policy-tables.ts'
import { prefix } from '../support/world-builder.ts'
import { type NodeUnderTest, openNode, reset, send, skip, standardTables } from './node-under-test.ts'
import { address } from './packet.ts'
import { ends, type Family, places, readEnds, serviceAt, ways } from './service-cases.ts'

/* Each kind of address of a Service, by which a pod reaches each kind of endpoint. services.test.ts has the cluster IPs. */

const external = { 4: '198.51.100.80', 6: '2001:db8:80::1' } as const
const nodes = { 4: '172.18.0.4', 6: '2001:db8::4' } as const
const anyAddress = { 4: '0.0.0.0', 6: '::' } as const

const kinds = {
  'an external address': { row: external, to: external, port: 80 },
  'a node port': { row: anyAddress, to: nodes, port: 30080 },
} as const
const affinities = { 'without session affinity': 0, 'with session affinity': 10_800_000 } as const

describe('Services without kube-proxy: external addresses and node ports for pods', { skip }, () => {
  let node: NodeUnderTest
  before(() => {
    node = openNode({ replaces_kube_proxy: 1 })
  })
  beforeEach(() => reset(node))

  const apply = (services: ReturnType<typeof serviceAt>): Promise<unknown> => {
    const tables = standardTables(node)
    const entry: ClusterEntry = { kind: 'node', tunnelAddress: address('172.18.0.4'), takesNodePorts: true }
    const other = [prefix('172.18.0.4/32'), prefix('2001:db8::4/128')].map((each) => [each, entry] as const)
    return node.datapath.apply({ ...tables, cluster: new Map([...tables.cluster, ...other]), services })
  }
  const packetOf = (family: Family, protocol: 'tcp' | 'udp', from: string, to: string) => {
    const ip = ends(family).packet(from, to)
    return (source: number, destination: number, flags: readonly ('SYN' | 'ACK')[]): Buffer =>
      protocol === 'tcp' ? ip.tcp(source, destination, { flags }) : ip.udp(source, destination)
  }

  for (const [kind, { row, to, port }] of Object.entries(kinds))
    for (const place of places)
      for (const family of [4, 6] as const)
        for (const protocol of ['tcp', 'udp'] as const)
          for (const [affinity, affinityMs] of Object.entries(affinities))
            test(`${protocol} over IPv${family} to ${kind}, ${affinity}: an endpoint ${place} gets the packet, and its answer comes from there`, async () => {
              const { client, endpoints, egressIp } = ends(family)
              const own = { address: address(row[family]), port, affinityMs }
              await apply(serviceAt(family, [endpoints[place]], own).filter((each) => each.port !== 0))
              const call = packetOf(family, protocol, client, to[family])(40000, port, ['SYN'])
              const there = send(node, 'from_pod', node.devices.pod7, call)
              assert.equal(there.verdict, ways[place].verdict)
              const { destination, destinationPort, sourcePort = 0 } = readEnds(there)
              assert.deepEqual([destination, destinationPort], [address(endpoints[place]), 8080])
              const { program, device, tunnel } = ways[place].back
              const receiver = place === 'outside' ? egressIp : client
              const answer = packetOf(
                family,
                protocol,
                endpoints[place],
                receiver,
              )(8080, sourcePort, ['SYN', 'ACK'])
              const back = send(node, program, node.devices[device], answer, tunnel)
              assert.equal(back.verdict, ways[place].arrives)
              assert.deepEqual(readEnds(back), {
                source: address(to[family]), destination: address(client), sourcePort: port, destinationPort: 40000,
              }) // biome-ignore format: one row
            })
})
