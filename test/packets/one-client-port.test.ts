import assert from 'node:assert/strict'
import { before, beforeEach, describe, test } from 'node:test'
import {
  type Journey,
  type NodeUnderTest,
  openNode,
  reset,
  send,
  skip,
  standardTables,
} from './node-under-test.ts'
import { address } from './packet.ts'
import { ends, type Family, type Place, readEnds, serviceAt, ways } from './service-cases.ts'

/* A client may use one port of its own towards two Services at once, and they may have the same endpoints. */

const second = { 4: '10.96.0.8', 6: 'fd00:96::8' } as const
const ports = Array.from({ length: 64 }, (_, each) => 40000 + each)
const protocols = ['tcp', 'udp'] as const
type Protocol = (typeof protocols)[number]

describe('Services without kube-proxy: two Services with the same endpoints, called from one port', {
  skip,
}, () => {
  let node: NodeUnderTest
  before(() => {
    node = openNode({ replaces_kube_proxy: 1 })
  })
  beforeEach(() => reset(node))

  const apply = (family: Family, ...at: readonly Place[]): Promise<unknown> => {
    const endpoints = at.map((place) => ends(family).endpoints[place])
    const services = [
      serviceAt(family, endpoints),
      serviceAt(family, endpoints, { address: address(second[family]) }),
    ]
    return node.datapath.apply({
      ...standardTables(node),
      services: services.flat().filter(({ port }) => port !== 0),
    })
  }

  const call = (
    family: Family,
    protocol: Protocol,
    service: string,
    port: number,
    flag: 'SYN' | 'ACK' = 'SYN',
  ) => {
    const ip = ends(family).packet(ends(family).client, service)
    const packet = protocol === 'tcp' ? ip.tcp(port, 80, { flags: [flag] }) : ip.udp(port, 80)
    return readEnds(send(node, 'from_pod', node.devices.pod7, packet)).destination
  }

  /** Whose address the client sees when the endpoint answers. */
  const answer = (family: Family, protocol: Protocol, place: Place, port: number) => {
    const { packet, client, endpoints } = ends(family)
    const { program, device, tunnel } = ways[place].back
    const ip = packet(endpoints[place], client)
    const back = protocol === 'tcp' ? ip.tcp(8080, port, { flags: ['SYN', 'ACK'] }) : ip.udp(8080, port)
    const journey: Journey = send(node, program, node.devices[device], back, tunnel)
    return readEnds(journey).source
  }

  for (const family of [4, 6] as const)
    for (const protocol of protocols)
      test(`${protocol} over IPv${family}: each flow gets an endpoint of its own, keeps it, and gets answers from its Service`, async () => {
        await apply(family, 'near', 'far')
        const { service, endpoints } = ends(family)
        const placeOf = (endpoint: unknown): Place => (endpoint === address(endpoints.near) ? 'near' : 'far')
        for (const port of ports) {
          const first = call(family, protocol, service, port)
          const other = call(family, protocol, second[family], port)
          assert.notEqual(first, other, `both flows from port ${port} have ${first}`)
          assert.equal(call(family, protocol, service, port, 'ACK'), first)
          assert.equal(call(family, protocol, second[family], port, 'ACK'), other)
          assert.equal(answer(family, protocol, placeOf(first), port), address(service))
          assert.equal(answer(family, protocol, placeOf(other), port), address(second[family]))
        }
      })

  test('if the Services share their only endpoint, the later flow has it', async () => {
    await apply(4, 'near')
    call(4, 'tcp', '10.96.0.7', 40000)
    assert.equal(call(4, 'tcp', second[4], 40000), address('10.244.1.8'))
    assert.equal(answer(4, 'tcp', 'near', 40000), address(second[4]))
  })

  test('a flow that only one of the two tables remembers finds its endpoint again', async () => {
    await apply(4, 'near', 'far')
    for (const port of ports) {
      const first = call(4, 'tcp', '10.96.0.7', port)
      const { service_flows } = node.datapath.tables
      for (const [key] of [...service_flows.entries()]) service_flows.delete(key)
      assert.equal(call(4, 'tcp', '10.96.0.7', port, 'ACK'), first)
    }
  })
})
