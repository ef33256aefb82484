import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { after, before, describe, test } from 'node:test'
import { selectNativeDevices } from '../../src/agent/node/native-devices.ts'
import { listNodeDevices } from '../../src/agent/node/node-network.ts'
import { findDevice } from '../../src/linux/devices.ts'
import { Netlink } from '../../src/linux/netlink.ts'
import { writeSysctl } from '../../src/linux/sysctl.ts'
import { type FarHost, openFarHost } from './far-host.ts'
import { mac, type NodeUnderTest, openNode, reset, skip } from './node-under-test.ts'
import { address } from './packet.ts'

const script = new URL('talk.mjs', import.meta.url).pathname
const world = '198.51.100.9'
const egressIp = '172.18.0.43'
const ip = (text: string): void => void execFileSync('ip', text.split(' '))

/** The egress IP is on a device of each kind in turn, which carries the packets over the same cable, and last on one with a cable of its own. */
describe('an egress IP on another kind of device, on a node with strict rp_filter', { skip }, () => {
  let node: NodeUnderTest
  let pod: FarHost
  let server: FarHost
  let talk: ChildProcess | undefined
  before(async () => {
    node = openNode()
    writeSysctl(
      'net/ipv4/conf/all/rp_filter',
      '1',
      'the stack would drop replies that come by another device',
    )
    ip(`link set pod7 address ${mac.host7}`)
    pod = await openFarHost('pod7-far', [
      `link set pod7-far address ${mac.pod7} up`,
      'addr add 10.244.1.7/32 dev pod7-far',
      'route add 169.254.1.1/32 dev pod7-far',
      `neigh add 169.254.1.1 lladdr ${mac.host7} dev pod7-far`,
      'route add default via 169.254.1.1 dev pod7-far',
    ])
    server = await openFarHost('world-far', [
      `link set world-far address ${mac.router} up`,
      'addr add 172.18.0.1/16 dev world-far',
      `addr add ${world}/32 dev lo`,
    ])
    node.datapath.attach('from_pod', node.devices.pod7)
    talk = server.start(process.execPath, script, 'server', '443', world)
    await once(talk.stdout ?? talk, 'data')
    ip('addr flush dev world')
  })
  after(() => {
    talk?.kill('SIGKILL')
    pod?.[Symbol.dispose]()
    server?.[Symbol.dispose]()
  })

  const ask = (protocol: string): string => pod.run(process.execPath, script, 'ask', protocol, world, '443')
  const answered = new RegExp(`^(::ffff:)?${egressIp} 1`)

  const kinds = {
    bridge: ['link add egress0 type bridge', 'link set world master egress0'],
    macvlan: ['link add egress0 link world type macvlan mode bridge'],
  } as const
  for (const [kind, commands] of Object.entries(kinds))
    test(`${kind}: a pod reaches the world by it, and gets its replies`, async () => {
      await reset(node)
      for (const command of commands) ip(command)
      ip('link set egress0 up')
      ip('addr add 172.18.0.3/16 dev egress0')
      ip(`addr add ${egressIp}/16 dev egress0`)
      ip(`route replace 198.51.100.0/24 via 172.18.0.1 dev egress0`)
      using netlink = new Netlink()
      node.datapath.attach('from_world', findDevice(netlink, 'egress0')?.index ?? 0)
      try {
        for (const protocol of ['udp', 'tcp']) assert.match(ask(protocol), answered)
      } finally {
        ip('link delete egress0')
      }
    })

  test('a second interface without a default route: packets leave by the first one, and replies come by the second', async () => {
    await reset(node)
    ip('link add second type veth peer name second-far')
    ip(`link set second-far netns ${server.netns.split('/')[2]}`)
    const there = (text: string): void => void server.run('ip', ...text.split(' '))
    for (const words of [
      'link set second-far up',
      'addr add 192.168.150.1/24 dev second-far',
      `route add ${egressIp}/32 via 192.168.150.2`,
    ])
      there(words)
    const settings = [
      'all/arp_announce=2',
      ...['all', 'world-far', 'second-far'].map((of) => `${of}/rp_filter=0`),
    ]
    for (const [name, value] of settings.map((text) => text.split('=')))
      server.run('sh', '-c', `echo ${value} > /proc/sys/net/ipv4/conf/${name}`)
    ip('link set second up')
    ip('addr add 192.168.150.2/24 dev second')
    ip(`addr add ${egressIp}/32 dev second`)
    ip('addr add 172.18.0.3/16 dev world')
    ip('route replace default via 172.18.0.1 dev world')
    using netlink = new Netlink()
    const select = (hasEgressIp: boolean) =>
      selectNativeDevices(
        listNodeDevices(netlink),
        [],
        address('172.18.0.3'),
        (each) => hasEgressIp && each === egressIp,
      )
    assert.deepEqual(
      select(false).map(({ name }) => name),
      ['world'],
    )
    const attach = (hasEgressIp: boolean): void => {
      for (const { index } of select(hasEgressIp)) node.datapath.attach('from_world', index)
    }
    attach(false)
    assert.match(ask('udp'), /^nothing/, 'without the program there, the stack has no use for the reply')
    attach(true)
    for (const protocol of ['udp', 'tcp']) assert.match(ask(protocol), answered)
  })
})
