import assert from 'node:assert/strict'
import { join } from 'node:path'
import { before, beforeEach, describe, test } from 'node:test'
import { type Datapath, openDatapath, type Program } from '../../src/datapath/datapath.ts'
import type { Desired } from '../../src/datapath/desired.ts'
import type { SimulatedRun } from '../../src/datapath/tables/simulated-tables.ts'
import { enterPrivateNamespaces } from '../support/private-namespaces.ts'
import { dissect } from './dissect.ts'
import { mac, prefix, skip } from './node-under-test.ts'
import { address, ipv4 } from './packet.ts'

/*
 * Two nodes as a simulation runs them: programs and tables of their own, and no devices, routes or clock of the kernel's.
 *
 *   source   172.18.0.3, slot 1, with the pod 10.244.1.7; owns ports 32768-32783 of the egress IP 172.18.0.42
 *   gateway  172.18.0.4, slot 2, the holder of 172.18.0.42
 */
const knobs = { simulated_clock: 1, simulated_tunnel: 1, simulated_host: 1 }
const podDevice = 7
const worldDevice = 2
const tunnelDevice = 3
const sourceBlock = 2048
const source = address('172.18.0.3')
const gateway = address('172.18.0.4')
const egressIp = address('172.18.0.42')

interface Given {
  readonly nowNs?: bigint
  readonly random?: bigint
  readonly ifindex?: number
  readonly tunnel?: { readonly vni: number; readonly node: string }
}

const nothingSent = {
  verdict: 'CONTINUE', departure: 'DEPARTED_NOT', sent_ifindex: 0, sent_vni: 0, sent_node: address('::'),
} // biome-ignore format: short

function run(
  node: Datapath,
  program: Program,
  packet: Buffer,
  { nowNs = 1_000_000_000n, random = 1n, ifindex = 0, tunnel }: Given,
): SimulatedRun & { readonly out: Buffer } {
  const { tables } = node
  tables.simulated_run.set(0, {
    now_ns: nowNs,
    random,
    ifindex,
    tunnel_vni: tunnel?.vni ?? 0,
    tunnel_source: address(tunnel?.node ?? '::'),
    has_own_socket: false,
    ...nothingSent,
  })
  const { out } = node.testRun(program, packet)
  const outcome = tables.simulated_run.get(0)
  assert.ok(outcome)
  return { ...outcome, out: Buffer.from(out) }
}

function tablesOf(slot: 1 | 2): Desired {
  const blockOwner: (number | undefined)[] = Array.from({ length: 4096 })
  blockOwner[sourceBlock] = 1
  const isSource = slot === 1
  return {
    self: {
      tunnelAddress: isSource ? source : gateway, masquerade4: undefined, masquerade6: undefined, slot,
      overlayIfindex: tunnelDevice, forwardIfindex: 0, tunnelMtu: 1450, overlayMac: mac.overlay,
    }, // biome-ignore format: short
    nodes: new Map([[source, { slot: 1 }], [gateway, { slot: 2 }]]), // biome-ignore format: short
    egressIps: new Map([[egressIp, { order: [gateway], blockOwner }]]),
    pools: isSource ? [{ address: egressIp, purpose: 'egress', blocks: [sourceBlock] }] : [],
    groups: new Map(isSource ? [[1n, { preferred: [egressIp], standby: [], keepsAddress: false }]] : []),
    cluster: new Map(),
    links: new Map(),
    linkMacs: new Map(),
    nodeClients: new Map(),
    services: [],
    rules: new Map(
      isSource
        ? [[1n, new Map([[prefix('203.0.113.0/24'), { action: 'egress', group: 1n, policy: 7n }]])]]
        : [],
    ),
    networkRules: new Map(),
    portLists: new Map(),
    pods: new Map(
      isSource
        ? [
            [
              address('10.244.1.7'),
              { policySet: 1n, networkSet: 0n, sinceNs: 1n, ifindex: podDevice, mac: mac.pod7, hostMac: mac.host7, isQuarantined: false, isNode: false },
            ],
          ]
        : [],
    ), // biome-ignore format: short
  }
}

describe('nodes without devices', { skip }, () => {
  let nodes: { readonly source: Datapath; readonly gateway: Datapath }

  before(() => {
    const bpffs = enterPrivateNamespaces()
    nodes = {
      source: openDatapath({ pinDirectory: join(bpffs, 'source'), knobs }),
      gateway: openDatapath({ pinDirectory: join(bpffs, 'gateway'), knobs }),
    }
    nodes.gateway.tables.simulated_routes.set(prefix('0.0.0.0/0'), { ifindex: worldDevice, mtu: 1500 })
  })

  beforeEach(async () => {
    for (const [key] of [...nodes.source.tables.pod_flows.entries()])
      nodes.source.tables.pod_flows.delete(key)
    for (const table of [nodes.source.tables.mappings, nodes.source.tables.ports])
      for (const [key] of [...table.entries()]) table.delete(key)
    await nodes.source.apply(tablesOf(1))
    await nodes.gateway.apply(tablesOf(2))
  })

  const syn = ipv4('10.244.1.7', '203.0.113.9').tcp(40000, 443, { flags: ['SYN'] })
  const open = (given: Given = {}) => run(nodes.source, 'from_pod', syn, { ifindex: podDevice, ...given })

  test('a packet travels from the pod to the world, and its answer back', () => {
    const left = open()
    assert.equal(left.verdict, 'SENT_TO_HOLDER')
    assert.equal(left.departure, 'DEPARTED_INTO_TUNNEL')
    assert.equal(left.sent_node, gateway)

    const forwarded = run(nodes.gateway, 'from_overlay', left.out, {
      tunnel: { vni: left.sent_vni, node: source },
    })
    assert.equal(forwarded.verdict, 'SENT_FORWARDED')
    assert.equal(forwarded.departure, 'DEPARTED_BY_DEVICE')
    assert.equal(forwarded.sent_ifindex, worldDevice)
    const seen = dissect(forwarded.out)
    assert.equal(seen.source, egressIp)

    const answer = ipv4('203.0.113.9', egressIp).tcp(443, seen.sourcePort ?? 0, { flags: ['SYN', 'ACK'] })
    const returned = run(nodes.gateway, 'from_world', answer, { ifindex: worldDevice })
    assert.equal(returned.verdict, 'SENT_TO_OWNER')
    assert.equal(returned.sent_node, source)

    const delivered = run(nodes.source, 'from_overlay', returned.out, {
      tunnel: { vni: returned.sent_vni, node: gateway },
    })
    assert.equal(delivered.verdict, 'SENT_TO_POD')
    assert.equal(delivered.departure, 'DEPARTED_TO_POD')
    assert.equal(delivered.sent_ifindex, podDevice)
    assert.equal(dissect(delivered.out).destination, address('10.244.1.7'))
  })

  test('the clock is that of the run', () => {
    const hour = 3_600_000_000_000n
    open({ nowNs: 5n * hour })
    const [[, mapping] = []] = [...nodes.source.tables.mappings.entries()]
    assert.equal(mapping?.created_ns, 5n * hour)
    const ack = ipv4('10.244.1.7', '203.0.113.9').tcp(40000, 443, { flags: ['ACK'] })
    const send = (nowNs: bigint) => run(nodes.source, 'from_pod', ack, { ifindex: podDevice, nowNs }).verdict
    assert.equal(send(5n * hour + 239n * 1_000_000_000n), 'SENT_TO_HOLDER')
    assert.equal(send(6n * hour), 'DROP_NO_MAPPING')
  })

  test('the same seed gives the same port', () => {
    const portOf = (random: bigint) => {
      for (const [key] of [...nodes.source.tables.pod_flows.entries()])
        nodes.source.tables.pod_flows.delete(key)
      for (const table of [nodes.source.tables.mappings, nodes.source.tables.ports])
        for (const [key] of [...table.entries()]) table.delete(key)
      return dissect(open({ random }).out).sourcePort
    }
    const ports = Array.from({ length: 20 }, (_, seed) => portOf(BigInt(seed)))
    assert.deepEqual(
      ports,
      Array.from({ length: 20 }, (_, seed) => portOf(BigInt(seed))),
    )
    assert.ok(new Set(ports).size > 5, `${new Set(ports).size} ports of 16`)
  })

  test('a packet by another device than the pod’s is a forgery', () => {
    assert.equal(open({ ifindex: podDevice + 1 }).verdict, 'DROP_SPOOFED_SOURCE')
  })

  test('a gateway without a route drops, and one with a narrow one tells the sender', () => {
    const { source: from, gateway: to } = nodes
    const left = open()
    const tunnel = { vni: left.sent_vni, node: source }
    to.tables.simulated_routes.delete(prefix('0.0.0.0/0'))
    assert.equal(run(to, 'from_overlay', left.out, { tunnel }).verdict, 'DROP_NO_ROUTE')
    to.tables.simulated_routes.set(prefix('203.0.113.0/24'), { ifindex: worldDevice, mtu: 1400 })
    const payload = Buffer.alloc(1361)
    const big = ipv4('10.244.1.7', '203.0.113.9', { dontFragment: true }).tcp(40000, 443, {
      flags: ['ACK'],
      payload,
    })
    const told = run(to, 'from_overlay', run(from, 'from_pod', big, { ifindex: podDevice }).out, { tunnel })
    to.tables.simulated_routes.delete(prefix('203.0.113.0/24'))
    to.tables.simulated_routes.set(prefix('0.0.0.0/0'), { ifindex: worldDevice, mtu: 1500 })
    assert.equal(told.verdict, 'SENT_TOO_BIG')
    assert.equal(told.sent_node, source)
    assert.equal(dissect(told.out).mtu, 1400)
  })
})
