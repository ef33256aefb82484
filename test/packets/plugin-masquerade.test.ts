import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, beforeEach, describe, test } from 'node:test'
import { writeSysctl } from '../../src/linux/sysctl.ts'
import { dissect } from './dissect.ts'
import { type FarHost, openFarHost } from './far-host.ts'
import { type Journey, type NodeUnderTest, openNode, ourPorts, reset, send, skip } from './node-under-test.ts'
import { ipv4 } from './packet.ts'
import { own, sharedTables } from './shared-node.ts'

const plugins = '/usr/lib/cni'
const networks = {
  ptp: { subnet: '10.244.9.0/24' },
  bridge: { subnet: '10.244.10.0/24', bridge: 'cni0', isGateway: true },
} as const

/** From these ports a process sends a datagram each. */
const script = (server: string, ports: readonly number[]): string => `import socket
for port in ${JSON.stringify(ports)}:
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.bind(("0.0.0.0", port))
    sender.sendto(b"x", ("${server}", 53))`

/** A pod that the plugin connects, and that no policy selects, beside one whose flows leave with the node's own address. */
for (const [plugin, { subnet, ...settings }] of Object.entries(networks)) {
  const missing = existsSync(`${plugins}/${plugin}`) ? false : `${plugins}/${plugin} is missing`
  describe(`the masquerade of the ${plugin} plugin and flows with the node’s own address`, {
    skip: skip || missing,
  }, () => {
    let node: NodeUnderTest
    let other: FarHost
    let server: string
    let servers = 0
    const folder = mkdtempSync(join(tmpdir(), 'sallyport-plugin-'))
    before(async () => {
      node = openNode({ chained: 1, own_address_is_shared: 1 })
      writeSysctl('net/ipv4/conf/all/forwarding', '1', 'the stack forwards for the other pod')
      writeSysctl('net/ipv4/conf/default/forwarding', '1', 'so does the device that the plugin makes')
      other = await openFarHost('pod8-far', [])
      const ipam = {
        type: 'host-local',
        ranges: [[{ subnet }]],
        routes: [{ dst: '0.0.0.0/0' }],
        dataDir: folder,
      }
      execFileSync(`${plugins}/${plugin}`, {
        input: JSON.stringify({
          cniVersion: '0.3.1',
          name: 'other',
          type: plugin,
          ipMasq: true,
          ...settings,
          ipam,
        }),
        env: {
          ...process.env,
          CNI_COMMAND: 'ADD',
          CNI_CONTAINERID: 'other',
          CNI_NETNS: other.netns,
          CNI_IFNAME: 'eth0',
          CNI_PATH: plugins,
        },
      })
    })
    after(() => {
      other?.[Symbol.dispose]()
      rmSync(folder, { recursive: true })
    })
    beforeEach(async () => {
      server = `192.0.2.${++servers}`
      await reset(node)
      await node.datapath.apply(sharedTables(node))
    })

    const fromWorld = (port: number): string =>
      send(node, 'from_world', node.devices.world, ipv4(server, own).udp(53, port)).verdict
    const ask = (): Journey =>
      send(node, 'from_pod', node.devices.pod7, ipv4('10.244.1.7', server).udp(40000, 53))
    const sendFromOther = (ports: readonly number[]): string =>
      other.run('python3', '-c', script(server, ports))
    /** By port of the other pod: the port that the plugin's rule has given it. */
    const masqueraded = (): ReadonlyMap<number, number> =>
      new Map(
        [
          ...readFileSync('/proc/thread-self/net/nf_conntrack', 'utf8').matchAll(
            new RegExp(
              `src=10\\.244\\.(?:9|10)\\.\\d+ dst=${server} sport=(\\d+) dport=53 .*src=${server} dst=${own} sport=53 dport=(\\d+) `,
              'g',
            ),
          ),
        ].map(([, from, to]) => [Number(from), Number(to)]),
      )

    /* This one comes first, because the kernel gives a source the port again that it had towards another server. */
    test('a flow gets none of the ports that the other pod has, and its answers stay the stack’s', () => {
      const [free, ...used] = Array.from({ length: 16 }, (_, index) => ourPorts.first + index)
      sendFromOther(used)
      assert.deepEqual([...masqueraded().values()].toSorted(), used, 'masquerading keeps a port that is free')
      const sent = Array.from({ length: 300 }, ask).filter(({ verdict }) => verdict === 'SENT_TO_WORLD')
      assert.deepEqual([...new Set(sent.map(({ out }) => dissect(out).sourcePort))], [free])
      for (const port of used) assert.equal(fromWorld(port), 'PASS_NOT_OURS')
    })

    test('the other pod gets another port than one that a flow has, and each gets its own answer', () => {
      const { verdict, out } = ask()
      assert.equal(verdict, 'SENT_TO_WORLD')
      const { sourcePort = 0 } = dissect(out)
      sendFromOther([sourcePort])
      const given = masqueraded().get(sourcePort)
      assert.ok(given !== undefined && given !== sourcePort, `port ${given}`)
      assert.equal(fromWorld(given), 'PASS_NOT_OURS')
      assert.equal(fromWorld(sourcePort), 'SENT_TO_POD')
    })
  })
}
