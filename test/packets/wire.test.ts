import assert from 'node:assert/strict'
import { before, beforeEach, describe, test } from 'node:test'
import { findDevice, setDevice } from '../../src/linux/devices.ts'
import { Netlink } from '../../src/linux/netlink.ts'
import { writeSysctl } from '../../src/linux/sysctl.ts'
import { established } from './flows.ts'
import {
  type NodeUnderTest,
  openNode,
  ourPorts,
  reset,
  skip,
  slot2Port,
  standardTables,
} from './node-under-test.ts'
import { ipv4, ipv6 } from './packet.ts'
import { transmit, verdictOn, withVlan } from './wire.ts'

const fromPod = ipv4('10.244.1.7', '203.0.113.9').udp(40000, 53)
const large = { flags: ['ACK'], payload: Buffer.alloc(1440) } as const
const fragment = { id: 1, offset: 0, hasMore: true }
const answer = ipv4('203.0.113.9', '172.18.0.42').udp(443, ourPorts.first)
const answerToSlot2 = ipv4('203.0.113.9', '172.18.0.42').udp(443, slot2Port)

describe('a frame on a real device', { skip }, () => {
  let node: NodeUnderTest
  let far: Record<'pod7' | 'pod8' | 'pod9' | 'world', number>
  before(() => {
    node = openNode({ simulated_tunnel: 0 })
    using netlink = new Netlink()
    const index = (name: string): number => findDevice(netlink, name)?.index ?? 0
    far = {
      pod7: index('pod7-far'),
      pod8: index('pod8-far'),
      pod9: index('pod9-far'),
      world: index('world-far'),
    }
    /* Or the kernel says things of its own on them. */
    for (const name of ['pod7-far', 'pod8', 'pod8-far', 'pod9-far', 'world-far'])
      writeSysctl(`net/ipv6/conf/${name}/disable_ipv6`, '1', 'the only frames are those of the tests')
    node.datapath.attach('from_pod', node.devices.pod7)
    node.datapath.attach('from_world', node.devices.world)
    /* What is sent into the tunnel comes out at the far end of pod8's device; without a tunnel's key it is of no known node. */
    for (const device of [node.devices.pod9, far.pod8]) node.datapath.attach('from_overlay', device)
  })
  beforeEach(async () => {
    await reset(node)
    const tables = standardTables(node)
    await node.datapath.apply({ ...tables, self: { ...tables.self, overlayIfindex: node.devices.pod8 } })
    established({ protocol: 17 })(node)
  })

  const at = {
    from_pod: () => far.pod7,
    from_overlay: () => far.pod9,
    from_world: () => far.world,
  } as const
  const verdict = (program: keyof typeof at, frame: Buffer): Promise<string> =>
    verdictOn(node, program, () => transmit(at[program](), frame))

  test('a pod’s is as in a test run, and dropped with a VLAN tag: it would be in another network', async () => {
    assert.equal(await verdict('from_pod', fromPod), 'SENT_TO_HOLDER')
    for (const vlan of [0, 100]) assert.equal(await verdict('from_pod', withVlan(fromPod, vlan)), 'DROP_VLAN')
  })

  test('a pod’s stack leaves a checksum to the device: it is told all the same of what is too big', async () => {
    established()(node)
    for (const [packet, start] of [
      [ipv4('10.244.1.7', '203.0.113.9', { dontFragment: true }).tcp(40000, 443, large), 34],
      [ipv6('fd00:1::7', '2001:db8:ffff::9').tcp(40000, 443, { ...large, flags: ['SYN'] }), 54],
    ] as const) {
      const act = (): void => transmit(far.pod7, packet, { checksumAt: { start, offset: 16 } })
      assert.equal(await verdictOn(node, 'from_pod', act), 'SENT_TOO_BIG')
    }
  })

  test('headers that are not in one piece are read all the same', async () => {
    using netlink = new Netlink()
    for (const device of [far.pod7, node.devices.pod7]) setDevice(netlink, device, { mtu: 9000 })
    for (const packet of [
      ipv4('10.244.1.7', '203.0.113.9').udp(40000, 53, Buffer.alloc(5000)),
      ipv6('fd00:1::7', '2001:db8:ffff::9', { fragment }).udp(40000, 53, Buffer.alloc(5000)),
    ]) {
      const act = (): void => transmit(far.pod7, packet, { firstPiece: 14 })
      assert.match(await verdictOn(node, 'from_pod', act), /^SENT/)
    }
  })

  test('one that comes out of the tunnel with a VLAN tag is dropped', async () => {
    assert.equal(await verdict('from_overlay', answer), 'DROP_UNKNOWN_NODE')
    assert.equal(await verdict('from_overlay', withVlan(answer, 100)), 'DROP_VLAN')
  })

  test('from the world, what has a VLAN tag is of another network', async () => {
    assert.equal(await verdict('from_world', answer), 'SENT_TO_POD')
    assert.equal(await verdict('from_world', withVlan(answer, 100)), 'PASS_NOT_OURS')
  })

  test('a tag without a VLAN is a priority, and does not go into the tunnel', async () => {
    assert.equal(await verdict('from_world', withVlan(answer, 0)), 'SENT_TO_POD')
    const tunnelled = await verdictOn(node, 'from_overlay', () =>
      transmit(far.world, withVlan(answerToSlot2, 0)),
    )
    assert.equal(tunnelled, 'DROP_UNKNOWN_NODE')
  })
})
