import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { after, before, beforeEach, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { ensureForwarding } from '../../src/agent/node/forwarding-device.ts'
import { HandedPackets } from '../../src/agent/node/handed-packets.ts'
import { openDatapath } from '../../src/datapath/datapath.ts'
import { createVxlan, deleteDevice, findDevice, setDevice } from '../../src/linux/devices.ts'
import { linuxMachine } from '../../src/linux/machine.ts'
import { Netlink } from '../../src/linux/netlink.ts'
import { type FarHost, openFarHost } from './far-host.ts'
import {
  mac,
  type NodeUnderTest,
  openNode,
  ourPorts,
  prefix,
  skip as refused,
  reset,
  send,
  slot2Port,
  standardTables,
} from './node-under-test.ts'
import { ipv4, ipv6 } from './packet.ts'

const skip = refused || (spawnSync('nft', ['--version']).error ? 'nft is not here' : false)
const script = new URL('talk.mjs', import.meta.url).pathname
const world = { 4: '198.51.100.9', 6: '2001:db8:eeee::9' } as const
const egress = { 4: '172.18.0.43', 6: '2001:db8::43' } as const

const ip = (text: string): void => void execFileSync('ip', text.split(' '))
const nft = (input: string): void => void execFileSync('nft', ['-f', '-'], { input })

/**
 * A pod, its node and a server of the world, each in a network namespace of its own, with real rules on the node, which is
 * the gateway, too.
 */
describe('a gateway whose stack forwards translated packets', { skip }, () => {
  let node: NodeUnderTest
  let pod: FarHost
  let server: FarHost
  let forwardIfindex: number
  let talk: ChildProcess | undefined
  before(async () => {
    node = openNode({ forward_by_stack: 1 })
    using netlink = new Netlink()
    ip('link set lo up')
    for (const address of ['172.18.0.43/16', '2001:db8::43/64'])
      ip(`addr add ${address} dev world${address.includes(':') ? ' nodad' : ''}`)
    ip('addr add 10.244.1.1/32 dev pod7')
    ip('route add 10.244.1.7/32 dev pod7')
    ip('route add fd00:1::7/128 dev pod7')
    ip(`neigh add fe80::77 lladdr ${mac.host7} dev pod7`)
    ip(`link set pod7 address ${mac.host7}`)
    for (const knob of ['ipv4/ip_forward', 'ipv6/conf/all/forwarding'])
      linuxMachine.writeSysctl(`net/${knob}`, '1', 'a gateway forwards')
    linuxMachine.writeSysctl('net/ipv4/conf/all/rp_filter', '1', 'as strict as an administrator may want it')
    pod = await openFarHost('pod7-far', [
      `link set pod7-far address ${mac.pod7} up`,
      'addr add 10.244.1.7/32 dev pod7-far',
      'addr add fd00:1::7/128 dev pod7-far nodad',
      'route add 169.254.1.1/32 dev pod7-far',
      `neigh add 169.254.1.1 lladdr ${mac.host7} dev pod7-far`,
      'route add default via 169.254.1.1 dev pod7-far',
      `neigh add fe80::1 lladdr ${mac.host7} dev pod7-far`,
      'route add default via fe80::1 dev pod7-far',
    ])
    server = await openFarHost('world-far', [
      `link set world-far address ${mac.router} up`,
      'addr add 172.18.0.1/16 dev world-far',
      'addr add 172.18.0.4/16 dev world-far',
      'addr add 2001:db8::1/64 dev world-far nodad',
      `addr add ${world[4]}/32 dev lo`,
      `addr add ${world[6]}/128 dev lo nodad`,
    ])
    const overlay = { ifindex: node.devices.pod8, mac: mac.overlay, mtu: 1450 }
    forwardIfindex = ensureForwarding(netlink, linuxMachine, overlay)
    node.datapath.attach('from_pod', node.devices.pod7)
    node.datapath.attach('to_pod', node.devices.pod7, 'egress')
    node.datapath.attach('from_world', node.devices.world)
    node.datapath.attach('from_world', findDevice(netlink, 'lo')?.index ?? 0)
    node.datapath.attach('to_world', node.devices.world, 'egress')
    talk = server.start(process.execPath, script, 'server', '443', world[4], world[6])
    await once(talk.stdout ?? talk, 'data')
  })
  after(() => {
    talk?.kill('SIGKILL')
    pod?.[Symbol.dispose]()
    server?.[Symbol.dispose]()
  })
  beforeEach(async () => {
    await reset(node)
    const tables = standardTables(node)
    await node.datapath.apply({ ...tables, self: { ...tables.self, forwardIfindex } })
    for (const family of ['inet', 'netdev']) nft(`add table ${family} rules; delete table ${family} rules`)
  })

  const ask = (protocol: 'udp' | 'tcp', family: 4 | 6, length = 1, ttl = 64): string =>
    pod.run(process.execPath, script, 'ask', protocol, world[family], '443', `${length}`, `${ttl}`).trim()
  const listRules = (): string => execFileSync('nft', ['list', 'ruleset'], { encoding: 'utf8' })
  const counted = (name: string): bigint =>
    node.datapath.counts('to_world').find(({ verdict }) => verdict === name)?.packets ?? 0n
  const dropped = (): bigint => counted('DROP_ADDRESS_CHANGED')
  const received = (family: 4 | 6, what: 'tooBig' | 'timeExceeded'): number => {
    const names = {
      4: { tooBig: 'InDestUnreachs', timeExceeded: 'InTimeExcds' },
      6: { tooBig: 'Icmp6InPktTooBigs', timeExceeded: 'Icmp6InTimeExcds' },
    }[family]
    const text = pod.run('cat', family === 4 ? '/proc/net/snmp' : '/proc/net/snmp6')
    if (family === 6) return Number(new RegExp(`^${names[what]}\\s+(\\d+)`, 'm').exec(text)?.[1])
    const [head = [], values = []] = text
      .split('\n')
      .filter((line) => line.startsWith('Icmp:'))
      .map((line) => line.split(' '))
    return Number(values[head.indexOf(names[what])])
  }

  for (const family of [4, 6] as const) {
    const ownAddress = family === 4 ? 'ip saddr 172.18.0.43' : 'ip6 saddr 2001:db8::43'
    const isSeen = new RegExp(`^(::ffff:)?${egress[family]} `)

    for (const protocol of ['udp', 'tcp'] as const)
      test(`a pod reaches the world by its egress IP: ${protocol}, IPv${family}`, () => {
        assert.match(ask(protocol, family), isSeen)
      })

    test(`a rule in postrouting sees the egress IP, and the hop limit is one less, in IPv${family}`, () => {
      const hops = family === 4 ? 'ip ttl 63' : 'ip6 hoplimit 63'
      rules([['type filter hook postrouting priority 0', `${ownAddress} ${hops} udp dport 443 counter`]])
      const before = counted('PASS_FROM_STACK')
      assert.match(ask('udp', family), isSeen)
      assert.match(listRules(), /counter packets 1 /)
      assert.equal(counted('PASS_FROM_STACK') - before, 1n, 'PASS_FROM_STACK')
    })

    test(`a rule in forward that drops by the egress IP is honoured, in IPv${family}`, () => {
      rules([['type filter hook forward priority 0', `${ownAddress} counter drop`]])
      assert.equal(ask('udp', family), 'nothing')
      assert.match(listRules(), /counter packets 1 /)
    })

    test(`a rule at the device’s egress is honoured, in IPv${family}`, () => {
      rules([['type filter hook egress device world priority 0', `${ownAddress} counter drop`]], 'netdev')
      assert.equal(ask('udp', family), 'nothing')
      assert.match(listRules(), /counter packets 1 /)
    })

    test(`no rule translates the packet again, and none calls it invalid, in IPv${family}`, () => {
      const nat = ['type nat hook postrouting priority 100', 'oifname "world" counter masquerade']
      const state = ['type filter hook forward priority 0', 'ct state invalid drop']
      rules([nat, state])
      for (const protocol of ['udp', 'tcp'] as const) assert.match(ask(protocol, family), isSeen)
    })

    test(`a packet whose address a rule changes all the same does not leave, in IPv${family}`, () => {
      const other = family === 4 ? 'ip saddr set 172.18.0.3' : 'ip6 saddr set 2001:db8::3'
      rules([['type filter hook postrouting priority 0', `${ownAddress} ${other}`]])
      const before = dropped()
      assert.equal(ask('udp', family), 'nothing')
      assert.equal(dropped() - before, 1n, 'DROP_ADDRESS_CHANGED')
    })

    test(`an IPsec policy is honoured, in IPv${family}`, () => {
      const selector = `src ${egress[family]} dst ${world[family]} dir out`
      ip(`xfrm policy add ${selector} action block`)
      assert.equal(ask('udp', family), 'nothing')
      ip(`xfrm policy delete ${selector}`)
    })

    test(`ip rule is honoured, in IPv${family}`, () => {
      const rule = `-${family} rule`
      ip(`${rule} add from ${egress[family]} dport 443 ipproto udp prohibit`)
      assert.equal(ask('udp', family), 'nothing')
      ip(`${rule} delete from ${egress[family]} dport 443 ipproto udp prohibit`)
    })

    test(`the pod hears that the way out is too narrow, in IPv${family}`, () => {
      ip('link set world mtu 1300')
      try {
        assert.match(ask('tcp', family, 20_000), new RegExp(`${egress[family]} 20000`))
        assert.ok(received(family, 'tooBig') > 0)
      } finally {
        ip('link set world mtu 1500')
        pod.run('ip', `-${family}`, 'route', 'flush', 'cache')
      }
    })
  }

  test('the pod hears that its packet’s time to live ended at the gateway', () => {
    const before = received(4, 'timeExceeded')
    assert.equal(ask('udp', 4, 1, 1), 'nothing')
    assert.equal(received(4, 'timeExceeded') - before, 1)
  })

  test('a packet for a flow’s port of an egress IP turns back, and one for an address of the node is dropped', async () => {
    const verdict = (destination: string, port: number): string =>
      send(node, 'from_pod', node.devices.pod7, ipv4('10.244.1.7', destination).udp(40000, port)).verdict
    assert.equal(verdict('198.51.100.9', 443), 'SENT_THROUGH_STACK')
    const tables = standardTables(node)
    await node.datapath.apply({
      ...tables,
      self: { ...tables.self, forwardIfindex },
      cluster: new Map([...tables.cluster, [prefix('198.51.100.9/32'), { kind: 'host' }]]),
    })
    assert.equal(verdict('198.51.100.9', 443), 'DROP_NO_ROUTE')
  })

  test('a gateway forwards packets of other nodes by the stack, after it has checked their port', () => {
    const from = (packet: Buffer): string =>
      send(node, 'from_overlay', node.devices.pod8, packet, { vni: 2, node: '172.18.0.4' }).verdict
    assert.equal(from(ipv4('172.18.0.43', world[4]).udp(slot2Port, 443)), 'SENT_THROUGH_STACK')
    assert.equal(from(ipv4('172.18.0.43', world[4]).udp(ourPorts.first, 443)), 'DROP_NOT_THE_OWNER')
    for (const destination of ['172.18.0.3', '255.255.255.255', '169.254.169.254', '224.0.0.9'])
      assert.match(from(ipv4('172.18.0.43', destination).udp(slot2Port, 443)), /^DROP/, destination)
  })

  for (const family of [4, 6] as const)
    test(`what comes through a real tunnel goes through the stack’s rules, in IPv${family}`, async () => {
      using netlink = new Netlink()
      createVxlan(netlink, { name: 'tunnel', mtu: 1450, mac: mac.overlay, port: 8472 })
      const index = findDevice(netlink, 'tunnel')?.index ?? 0
      setDevice(netlink, index, { isUp: true, hasArp: false })
      await using gateway = openDatapath({
        pinDirectory: `${node.pinDirectory}-tunnel${family}`,
        knobs: { forward_by_stack: 1 },
      })
      const tables = standardTables(node)
      await gateway.apply({ ...tables, self: { ...tables.self, forwardIfindex } })
      gateway.attach('from_overlay', index)
      const [source, hops] =
        family === 4 ? ['ip saddr 172.18.0.43', 'ip ttl 63'] : ['ip6 saddr 2001:db8::43', 'ip6 hoplimit 63']
      rules([
        [
          'type filter hook postrouting priority 0',
          `oifname "world" ${source} ${hops} udp sport ${slot2Port} counter`,
        ],
      ])
      const packet = (family === 4 ? ipv4 : ipv6)(egress[family], world[family]).udp(slot2Port, 443)
      const header = Buffer.from([8, 0, 0, 0, 0, 0, 2, 0])
      const hex = Buffer.concat([header, packet]).toString('hex')
      assert.equal(
        server.run(process.execPath, script, 'send', '172.18.0.4', '172.18.0.3', '8472', hex).trim(),
        'sent',
      )
      while (gateway.counts('from_overlay').length === 0) await sleep(5)
      assert.deepEqual(
        gateway.counts('from_overlay').map(({ verdict }) => verdict),
        ['SENT_THROUGH_STACK'],
      )
      await sleep(50)
      assert.match(listRules(), /counter packets 1 /)
      deleteDevice(netlink, index)
    })

  test('the agent notices that rules drop every packet or change its address, and that they no longer do', () => {
    let nowMs = 0
    const handed = new HandedPackets({ datapath: node.datapath, clock: { monotonicMs: () => nowMs } })
    const look = (packets: number): string | undefined => {
      for (let count = 0; count < packets; count++)
        send(node, 'from_pod', node.devices.pod7, ipv4('10.244.1.7', world[4]).udp(40000, 443))
      const isOver = ask('udp', 4) === 'nothing'
      nowMs += 10_000
      return `${isOver} ${handed.look()}`
    }
    assert.equal(look(5), 'false undefined')
    assert.equal(look(5), 'false undefined')
    rules([['type filter hook forward priority 0', 'ip saddr 172.18.0.43 drop']])
    assert.equal(look(5), 'true NothingLeaves')
    nft('delete table inet rules')
    rules([['type filter hook postrouting priority 0', 'ip saddr 172.18.0.43 ip saddr set 172.18.0.3']])
    assert.equal(look(5), 'true AddressChanged')
    nft('delete table inet rules')
    assert.equal(look(5), 'false undefined')
  })

  test('packets that the stack forwards for others are none of ours', () => {
    const packet = ipv4('10.9.9.9', world[4]).udp(1, 2)
    assert.equal(send(node, 'to_world', node.devices.world, packet).verdict, 'PASS_NOT_OURS')
  })
})

/** Each chain begins with its hook; the rules follow, one a line. */
function rules(chains: readonly (readonly string[])[], family = 'inet'): void {
  const text = chains.map(([head, ...of], index) => `chain c${index} { ${head};\n${of.join('\n')}\n}`)
  nft(`table ${family} rules {\n${text.join('\n')}\n}\n`)
}
