import { join } from 'node:path'
import { type Datapath, openDatapath, type Program } from '../../src/datapath/datapath.ts'
import type { Desired } from '../../src/datapath/desired.ts'
import type { Table } from '../../src/datapath/maps/table.ts'
import type { Knobs } from '../../src/datapath/object.ts'
import { putAddress } from '../../src/linux/device-addresses.ts'
import { createVeth, findDevice, setDevice } from '../../src/linux/devices.ts'
import { putNeighbour } from '../../src/linux/neighbours.ts'
import { Netlink } from '../../src/linux/netlink.ts'
import { putRoute } from '../../src/linux/routes.ts'
import { writeSysctl } from '../../src/linux/sysctl.ts'
import { type Prefix, parsePrefix } from '../../src/net/prefix.ts'
import { enterPrivateNamespaces, privateNamespacesRefused } from '../support/private-namespaces.ts'
import { address } from './packet.ts'

/**
 * One node with real devices, routes and tables, in namespaces of its own:
 *
 *   pods     10.244.1.7 and fd00:1::7 (policy set 1), 10.244.1.8 (none), 10.244.1.9 (quarantined)
 *   itself   172.18.0.3, slot 1; the nodes 172.18.0.4 (slot 2) and 172.18.0.5 (slot 3)
 *   ours     ports 32768-32783 of every egress IP; of slot 2: 32784-32799; of slot 9, which no node has: 32800-32815
 *
 *   203.0.113.0/24      leaves from 172.18.0.42, which 172.18.0.4 holds
 *   198.51.100.0/24     leaves from 172.18.0.43, which this node holds
 *   2001:db8:ffff::/48  leaves from 2001:db8::42, which 172.18.0.4 holds
 *   2001:db8:eeee::/48  leaves from 2001:db8::43, which this node holds
 */
export interface NodeUnderTest {
  readonly datapath: Datapath
  readonly pinDirectory: string
  readonly devices: Readonly<Record<'pod7' | 'pod8' | 'pod9' | 'world', number>>
}

export const skip: string | false = privateNamespacesRefused

const fourBlocks = { ours: 2048, ofSlot2: 2049, ofNobodysSlot: 2050, own: 3072 } as const
export const ourPorts = { first: fourBlocks.ours * 16, last: fourBlocks.ours * 16 + 15 } as const
export const slot2Port = fourBlocks.ofSlot2 * 16
export const nobodysSlotPort = fourBlocks.ofNobodysSlot * 16
export const masqueradePorts = { first: fourBlocks.own * 16, last: fourBlocks.own * 16 + 15 } as const

export const mac = {
  pod7: '02:00:00:00:07:01',
  host7: '02:00:00:00:07:02',
  overlay: '02:00:00:00:00:01',
  router: '02:00:00:00:ff:01',
} as const

export const prefix = (text: string): Prefix => {
  const parsed = parsePrefix(text)
  if (parsed === undefined) throw new Error(`${text} is no prefix`)
  return parsed
}

export function openNode(knobs: Knobs = {}): NodeUnderTest {
  const bpffs = enterPrivateNamespaces()
  using netlink = new Netlink()
  const devices = {
    pod7: makeDevice(netlink, 'pod7'),
    pod8: makeDevice(netlink, 'pod8'),
    pod9: makeDevice(netlink, 'pod9'),
    world: makeDevice(netlink, 'world'),
  }
  makeRoutes(netlink, devices.world)
  const pinDirectory = join(bpffs, 'node')
  const datapath = openDatapath({ pinDirectory, knobs: { ...testKnobs, ...knobs } })
  return { datapath, devices, pinDirectory }
}

const testKnobs: Knobs = { simulated_tunnel: 1 }

/** The same node, as another version of the datapath finds it. */
export function openAgain(node: NodeUnderTest, objectFile?: string): NodeUnderTest {
  const { pinDirectory } = node
  const datapath = openDatapath({ pinDirectory, knobs: testKnobs, ...(objectFile && { objectFile }) })
  return { ...node, datapath }
}

export function makeDevice(netlink: Netlink, name: string): number {
  createVeth(netlink, { name, peer: { name: `${name}-far` } })
  const index = findDevice(netlink, name)?.index ?? 0
  setDevice(netlink, index, { isUp: true })
  setDevice(netlink, findDevice(netlink, `${name}-far`)?.index ?? 0, { isUp: true })
  writeSysctl(`net/ipv4/conf/${name}/forwarding`, '1', 'the FIB answers for packets that come by it')
  writeSysctl(`net/ipv6/conf/${name}/forwarding`, '1', 'the FIB answers for packets that come by it')
  return index
}

/** Documentation prefixes lead to a router; one that has none leads nowhere. */
function makeRoutes(netlink: Netlink, world: number): void {
  putAddress(netlink, { index: world, address: address('172.18.0.3'), prefixLength: 16 })
  putAddress(netlink, { index: world, address: address('2001:db8::3'), prefixLength: 64 })
  for (const router of ['172.18.0.1', '2001:db8::1'])
    putNeighbour(netlink, { index: world, address: address(router), mac: mac.router })
  for (const destination of ['203.0.113.0/24', '198.51.100.0/24', '192.0.2.0/24'])
    putRoute(netlink, {
      destination: prefix(destination),
      kind: 'unicast',
      via: address('172.18.0.1'),
      ifindex: world,
    })
  putRoute(netlink, {
    destination: prefix('2001:db8:eeee::/48'),
    kind: 'unicast',
    via: address('2001:db8::1'),
    ifindex: world,
  })
}

export function standardTables({ devices }: NodeUnderTest): Desired {
  const self = address('172.18.0.3')
  const other = address('172.18.0.4')
  const owners: ('self' | 'stack' | number | undefined)[] = Array.from({ length: 4096 })
  owners.fill('stack', 0, 1024 >> 4)
  owners.fill('stack', 30000 >> 4, 32768 >> 4)
  owners[fourBlocks.ours] = 1
  owners[fourBlocks.ofSlot2] = 2
  owners[fourBlocks.ofNobodysSlot] = 9
  const own: ('self' | number | undefined)[] = Array.from({ length: 4096 })
  own[fourBlocks.own] = 'self'
  const egressIps = ['172.18.0.42', '172.18.0.43', '2001:db8::42', '2001:db8::43'].map(address)
  const pod = (policySet: bigint, ifindex: number, isQuarantined = false) => ({
    policySet, networkSet: 0n, sinceNs: 1n, ifindex, mac: mac.pod7, hostMac: mac.host7, isQuarantined, isNode: false,
  }) // biome-ignore format: short
  return {
    self: {
      tunnelAddress: self, masquerade4: self, masquerade6: undefined, slot: 1,
      overlayIfindex: devices.world, forwardIfindex: 0, tunnelMtu: 1450, overlayMac: mac.overlay,
    }, // biome-ignore format: short
    nodes: new Map([[self, { slot: 1 }], [other, { slot: 2 }], [address('172.18.0.5'), { slot: 3 }]]),
    egressIps: new Map([
      ...egressIps.map((ip) => [ip, { order: [ip.endsWith('42') ? other : self], blockOwner: owners }] as const),
      [self, { order: [self], blockOwner: own }] as const,
    ]),
    pools: [
      ...egressIps.map((ip) => ({ address: ip, purpose: 'egress' as const, blocks: [fourBlocks.ours] })),
      { address: self, purpose: 'masquerade', blocks: [fourBlocks.own] },
    ],
    groups: new Map(
      egressIps.map((ip, index) => [BigInt(index + 1), { preferred: [ip], standby: [], keepsAddress: false }]),
    ),
    cluster: new Map([
      [prefix('10.244.2.0/24'), { kind: 'pods', tunnelAddress: other }],
      [prefix('172.18.0.3/32'), { kind: 'host' }],
      [prefix('172.18.0.4/32'), { kind: 'node', tunnelAddress: other }],
      [prefix('2001:db8::3/128'), { kind: 'host' }],
      [prefix('fd00:2::/64'), { kind: 'pods', tunnelAddress: other }],
      [prefix('10.96.0.0/12'), { kind: 'stack' }],
    ]),
    rules: new Map([
      [1n, new Map([
        [prefix('203.0.113.0/24'), { action: 'egress', group: 1n, policy: 7n }],
        [prefix('198.51.100.0/24'), { action: 'egress', group: 2n, policy: 7n }],
        [prefix('2001:db8:ffff::/48'), { action: 'egress', group: 3n, policy: 7n }],
        [prefix('2001:db8:eeee::/48'), { action: 'egress', group: 4n, policy: 7n }],
        [prefix('198.18.0.0/15'), { action: 'egress', group: 2n, policy: 7n }],
        [prefix('192.0.2.0/24'), { action: 'exclude', policy: 7n }],
        [prefix('192.0.2.32/27'), { action: 'drop', reason: 'DROP_NETWORK_POLICY', policy: 8n }],
        [prefix('192.0.2.64/26'), { action: 'drop', reason: 'DROP_NO_GATEWAY', policy: 8n }],
        [prefix('192.0.2.128/26'), { action: 'drop', reason: 'DROP_NO_EGRESS_IP', policy: 8n }],
        [prefix('192.0.2.192/26'), { action: 'drop', reason: 'DROP_POLICY_INVALID', policy: 8n }],
        [prefix('2001:db8:dddd::/48'), { action: 'exclude', policy: 8n }],
      ])],
    ]),
    links: new Map(),
    linkMacs: new Map(),
    services: [],
    networkRules: new Map(),
    portLists: new Map(),
    pods: new Map([
      [address('10.244.1.7'), pod(1n, devices.pod7)],
      [address('fd00:1::7'), pod(1n, devices.pod7)],
      [address('10.244.1.8'), pod(0n, devices.pod8)],
      [address('fd00:1::8'), pod(0n, devices.pod8)],
      [address('10.244.1.9'), pod(1n, devices.pod9, true)],
    ]),
    nodeClients: new Map(),
  } // biome-ignore format: tables
}

/** Forgets all flows, so that each test starts from the same node. */
export async function reset(node: NodeUnderTest): Promise<void> {
  const { tables } = node.datapath
  clear(tables.mappings)
  clear(tables.ports)
  clear(tables.pod_flows)
  clear(tables.inbound)
  clear(tables.fragments)
  clear(tables.service_flows)
  clear(tables.service_replies)
  clear(tables.affinities)
  clear(tables.client_flows)
  clear(tables.client_replies)
  clear(tables.process_calls)
  tables.liveness.set(0, { alive_until_ns: 0n, probing_until_ns: 0n })
  clear(tables.probed_gateways)
  await node.datapath.apply(standardTables(node))
}

function clear<K, V>(table: Table<K, V>): void {
  for (const [key] of [...table.entries()]) table.delete(key)
}

export interface Journey {
  readonly verdict: string
  readonly action: number
  readonly out: Buffer
}

/** Where a tunnelled packet came from, for from_overlay. */
export interface TunnelEnd {
  readonly vni: number
  readonly node: string
}

/** Sends one packet through a program and says how its journey ended; exactly one ending is counted, or it throws. */
export function send(
  { datapath }: NodeUnderTest,
  program: Program,
  ifindex: number,
  packet: Buffer,
  tunnel?: TunnelEnd,
  gso?: { readonly gsoSize: number; readonly gsoSegments: number },
): Journey {
  if (tunnel !== undefined) comeFrom(datapath, tunnel)
  const before = datapath.counts(program)
  const { action, out } = datapath.testRun(program, packet, { ifindex, ...gso })
  const ended = datapath
    .counts(program)
    .map((count) => ({
      ...count,
      more: count.packets - (before.find(({ verdict }) => verdict === count.verdict)?.packets ?? 0n),
    }))
    .filter(({ more }) => more > 0n)
  const [only] = ended
  if (only === undefined || ended.length > 1 || only.more !== 1n)
    throw new Error(
      `one packet, but ${program} counted ${ended.map(({ verdict, more }) => `${more} ${verdict}`).join(', ') || 'nothing'}`,
    )
  return { verdict: only.verdict, action, out: Buffer.from(out) }
}

function comeFrom({ tables }: Datapath, { vni, node }: TunnelEnd): void {
  tables.simulated_run.set(0, {
    now_ns: 0n,
    random: 0n,
    tunnel_source: address(node),
    tunnel_vni: vni,
    ifindex: 0,
    has_own_socket: false,
    verdict: 'CONTINUE',
    departure: 'DEPARTED_NOT',
    sent_ifindex: 0,
    sent_vni: 0,
    sent_node: address('::'),
  })
}
