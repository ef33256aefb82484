import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { after, before, describe, test } from 'node:test'
import { findDevice } from '../../src/linux/devices.ts'
import { Netlink } from '../../src/linux/netlink.ts'
import { type FarHost, openFarHost } from './far-host.ts'
import { mac, type NodeUnderTest, openNode, reset, skip } from './node-under-test.ts'

const script = new URL('talk.mjs', import.meta.url).pathname
const world = '198.51.100.9'
const egressIp = '172.18.0.43'
const ip = (text: string): void => void execFileSync('ip', text.split(' '))

/** The egress IP is on a device of each kind in turn, which carries the packets over the same cable. */
describe('an egress IP on another kind of device', { skip }, () => {
  let node: NodeUnderTest
  let pod: FarHost
  let server: FarHost
  let talk: ChildProcess | undefined
  before(async () => {
    node = openNode()
    ip(`link set pod7 address ${mac.host7}`)
    pod = await openFarHost('pod7-far', [
      `link set pod7-far address ${mac.pod7} up`,
      'addr add 10.244.1.7/32 dev pod7-far',
      'route add 169.254.1.1/32 dev pod7-far',
      `neigh add 169.254.1.1 lladdr ${mac.host7} dev pod7-far`,
      'route add default via 169.254.1.1 dev pod7-far',
    ])
    server = await openFarHost('world-far', [
      'link set world-far up',
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
        for (const protocol of ['udp', 'tcp'])
          assert.match(
            pod.run(process.execPath, script, 'ask', protocol, world, '443'),
            new RegExp(`^(::ffff:)?${egressIp} 1`),
          )
      } finally {
        ip('link delete egress0')
      }
    })
})
