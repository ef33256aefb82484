import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { before, beforeEach, describe, test } from 'node:test'
import { defaultObjectFile, openDatapath } from '../../src/datapath/datapath.ts'
import { addressBytes } from '../../src/net/address.ts'
import { enterPrivateNamespaces } from '../support/private-namespaces.ts'
import { dissect } from './dissect.ts'
import { established } from './flows.ts'
import {
  type Journey,
  type NodeUnderTest,
  openNode,
  ourPorts,
  reset,
  send,
  skip,
  slot2Port,
  type TunnelEnd,
} from './node-under-test.ts'
import { address, ipv4, ipv6 } from './packet.ts'
import { own, own6, sendFrom, sharedTables } from './shared-node.ts'

const source = '172.18.0.4'
const outward: TunnelEnd = { vni: 2, node: source }
const portRefusal = 7
const syn = { flags: ['SYN'] } as const
const ack = { flags: ['ACK'] } as const

/** Each test has a server of its own, because connection tracking remembers what earlier tests did. */
let servers = 0
let server: string
const entries = (): string[] =>
  readFileSync('/proc/thread-self/net/nf_conntrack', 'utf8')
    .split('\n')
    .filter((line) => line.includes(`dst=${server} `))
const claims = (): string[] => entries().filter((line) => line.includes('src=192.0.0.8 '))

/** Seconds that the only claim lasts. */
function lifetime(): number {
  const [line, ...others] = claims()
  assert.deepEqual(others, [])
  return Number(line?.split(/\s+/)[4])
}

function inNamespace(command: string): void {
  const { status, stderr } = spawnSync('sh', ['-ec', command], { encoding: 'utf8' })
  assert.equal(status, 0, stderr)
}

const portsOf = (first: number): number[] => Array.from({ length: 16 }, (_, index) => first + index)

describe('a gateway leaves with its own address, which its stack uses too', { skip }, () => {
  let node: NodeUnderTest
  before(() => {
    node = openNode({ chained: 1, own_address_is_shared: 1 })
    inNamespace(`nft -f - <<'END'
table ip6 masquerading {
  chain postrouting { type nat hook postrouting priority srcnat; ip6 saddr fd00:1::8 masquerade; }
}
table ip masquerading {
  chain postrouting { type nat hook postrouting priority srcnat; ip saddr 10.244.1.8 masquerade; }
  chain unseen { type filter hook output priority raw; ip daddr 192.0.2.250 notrack; }
}
END`)
  })
  beforeEach(async () => {
    server = `192.0.2.${++servers}`
    await reset(node)
    await node.datapath.apply(sharedTables(node))
  })

  const fromPod = (packet: Buffer): Journey => send(node, 'from_pod', node.devices.pod7, packet)
  const fromWorld = (packet: Buffer): Journey => send(node, 'from_world', node.devices.world, packet)
  const fromNode = (packet: Buffer, tunnel = outward): Journey =>
    send(node, 'from_overlay', node.devices.pod7, packet, tunnel)
  const ask = (): Journey => fromPod(ipv4('10.244.1.7', server).udp(40000, 53))
  const open = (): number => {
    const { verdict, out } = fromPod(ipv4('10.244.1.7', server).tcp(40000, 443, syn))
    assert.equal(verdict, 'SENT_TO_WORLD')
    assert.equal(dissect(out).source, own)
    return dissect(out).sourcePort ?? 0
  }

  test('a flow claims its port, and its answer reaches the pod', () => {
    const port = open()
    const claim = `src=192.0.0.8 dst=${server} sport=${port} dport=443 .*src=${server} dst=${own} sport=443 dport=${port} `
    assert.match(claims().join('\n'), new RegExp(claim))
    assert.equal(
      fromWorld(ipv4(server, own).tcp(443, port, { flags: ['SYN', 'ACK'] })).verdict,
      'SENT_TO_POD',
    )
  })

  test('a packet without a claim is left to the stack, whoever owns the port', () => {
    const port = open()
    for (const packet of [
      ipv4(server, own).tcp(444, port, ack),
      ipv4(server, own).udp(443, port),
      ipv4('192.0.2.251', own).tcp(443, port, syn),
      ipv4(server, own).tcp(443, slot2Port, ack),
      ipv4(server, own).echo('reply', port),
    ])
      assert.equal(fromWorld(packet).verdict, 'PASS_NOT_OURS')
  })

  test('a new flow never gets a port that the stack uses towards the same destination', async () => {
    const [free, ...used] = portsOf(ourPorts.first)
    await using _sender = await sendFrom(server, used)
    const stacks = entries()
    assert.equal(stacks.length, used.length)
    const tried = Array.from({ length: 300 }, () => ask())
    const sent = tried.findIndex(({ verdict }) => verdict === 'SENT_TO_WORLD')
    const refused = tried.slice(0, sent).map(({ verdict }) => verdict)
    assert.ok(
      refused.every((verdict) => ['DROP_PORT_IN_USE', 'DROP_NO_FREE_PORT'].includes(verdict)),
      'a port is looked for',
    )
    assert.ok(
      refused.filter((verdict) => verdict === 'DROP_PORT_IN_USE').length <= used.length,
      'a port that was refused is not tried again',
    )
    assert.ok(
      tried.slice(sent).every(({ verdict }) => verdict === 'SENT_TO_WORLD'),
      'and kept',
    )
    assert.equal(dissect(tried[sent]?.out ?? Buffer.alloc(0)).sourcePort, free)
    for (const port of used)
      assert.equal(
        fromWorld(ipv4(server, own).udp(53, port)).verdict,
        'PASS_NOT_OURS',
        'its answers are the stack’s',
      )
  })

  test('the stack gives its own flow another port than one that is claimed', async () => {
    const { verdict, out } = ask()
    assert.equal(verdict, 'SENT_TO_WORLD')
    const { sourcePort = 0 } = dissect(out)
    await using _sender = await sendFrom(server, [sourcePort])
    const [stacks, ...others] = entries().filter((line) => !line.includes('192.0.0.8'))
    assert.deepEqual(others, [])
    assert.match(stacks ?? '', new RegExp(`src=${own} dst=${server} sport=${sourcePort} dport=53 `))
    assert.doesNotMatch(stacks ?? '', new RegExp(`dst=${own} sport=53 dport=${sourcePort} `))
  })

  test('a port that a socket has is not used, although connection tracking does not see the socket', async () => {
    server = '192.0.2.250'
    await using _sender = await sendFrom(server, portsOf(ourPorts.first))
    assert.deepEqual(entries(), [])
    const verdicts = Array.from({ length: 200 }, () => ask().verdict)
    assert.deepEqual(new Set(verdicts), new Set(['DROP_PORT_IN_USE', 'DROP_NO_FREE_PORT']))
    const count = (verdict: string): number => verdicts.filter((each) => each === verdict).length
    assert.ok(count('DROP_PORT_IN_USE') <= portsOf(ourPorts.first).length, 'each port is refused once')
    const pressure = node.datapath.tables.pool_pressures.get({ address: address(own), purpose: 'egress' })
    assert.ok((pressure?.refused ?? 0) > 0, 'the agent learns that ports are short')
  })

  test('a gateway forwards for the node that owns the port, and claims the port', () => {
    const packet = ipv4(own, server).tcp(slot2Port, 443, syn)
    assert.equal(fromNode(packet).verdict, 'SENT_FORWARDED')
    assert.equal(claims().length, 1)
    assert.equal(fromWorld(ipv4(server, own).tcp(443, slot2Port, ack)).verdict, 'SENT_TO_OWNER')
  })

  test('a gateway sends a packet back to its source node if the stack uses the port', async () => {
    await using _sender = await sendFrom(server, [slot2Port])
    const packet = ipv4(own, server).udp(slot2Port, 53)
    const { verdict, out } = fromNode(packet)
    assert.equal(verdict, 'SENT_PORT_REFUSAL')
    assert.deepEqual(out.subarray(14), packet.subarray(14))
    assert.equal(fromNode(ipv4(own, server).udp(slot2Port + 1, 53)).verdict, 'SENT_FORWARDED')
  })

  test('a source node gives a refused port up before the first answer, and not after it', () => {
    const refuse = (port: number, gateway: string): string =>
      fromNode(ipv4('172.18.0.42', '203.0.113.9').tcp(port, 443, syn), { vni: portRefusal, node: gateway })
        .verdict
    const flow = { egressPort: ourPorts.first }
    const mappings = (): number => [...node.datapath.tables.mappings.entries()].length
    established({ ...flow, mapping: { packets_in: 0n } })(node)
    assert.equal(
      refuse(ourPorts.first, '172.18.0.5'),
      'DROP_NO_MAPPING',
      'that node does not have the address',
    )
    assert.equal(refuse(ourPorts.first + 1, source), 'DROP_NO_MAPPING')
    assert.equal(mappings(), 1)
    assert.equal(refuse(ourPorts.first, source), 'DROP_PORT_IN_USE')
    assert.equal(mappings(), 0)
    established({ ...flow, mapping: { packets_in: 1n } })(node)
    assert.equal(refuse(ourPorts.first, source), 'DROP_PORT_IN_USE')
    assert.equal(mappings(), 1)
  })

  test('an echo request cannot claim anything, and is dropped', () => {
    assert.equal(fromPod(ipv4('10.244.1.7', server).echo('request', 77)).verdict, 'DROP_SHARED_ECHO')
    assert.equal(fromNode(ipv4(own, server).echo('request', slot2Port)).verdict, 'DROP_SHARED_ECHO')
  })

  test('an egress IP that the stack does not use needs no claim', () => {
    const { verdict } = fromNode(ipv4('172.18.0.43', server).tcp(slot2Port, 443, syn))
    assert.equal(verdict, 'SENT_FORWARDED')
    assert.deepEqual(entries(), [])
  })

  test('a claim lasts as long as the mapping, and a closed connection’s last packet does not prolong it', () => {
    const port = open()
    const within = (least: number, most: number): void => {
      const seconds = lifetime()
      assert.ok(seconds > least && seconds <= most, `${seconds} s`)
    }
    within(230, 240)
    fromWorld(ipv4(server, own).tcp(443, port, { flags: ['SYN', 'ACK'] }))
    within(7400, 7440)
    fromPod(ipv4('10.244.1.7', server).tcp(40000, 443, { flags: ['FIN', 'ACK'] }))
    within(230, 240)
    fromPod(ipv4('10.244.1.7', server).tcp(40000, 443, ack))
    within(230, 240)
  })

  test('IPv6 flows claim their ports, too, and use none that the stack uses', async () => {
    server = '2001:db8:eeee::9'
    const inConntrack = (text: string): string =>
      (
        Buffer.from(addressBytes(address(text)))
          .toString('hex')
          .match(/.{4}/g) ?? []
      ).join(':')
    const linesWith = (source: string): string[] =>
      readFileSync('/proc/thread-self/net/nf_conntrack', 'utf8')
        .split('\n')
        .filter((line) => line.includes(`src=${inConntrack(source)} dst=${inConntrack(server)} `))
    const askV6 = (): Journey => fromPod(ipv6('fd00:1::7', server).udp(40000, 53))

    const { verdict, out } = askV6()
    assert.equal(verdict, 'SENT_TO_WORLD')
    const { source, sourcePort: port = 0 } = dissect(out)
    assert.equal(source, own6)
    const [claim, ...others] = linesWith('100::8')
    assert.deepEqual(others, [])
    assert.match(claim ?? '', new RegExp(`dst=${inConntrack(own6)} sport=53 dport=${port} `))
    assert.equal(fromWorld(ipv6(server, own6).udp(53, port)).verdict, 'SENT_TO_POD')
    assert.equal(fromWorld(ipv6(server, own6).udp(54, port)).verdict, 'PASS_NOT_OURS')

    await using _sender = await sendFrom(server, [slot2Port])
    assert.equal(linesWith(own6).length, 1)
    const forwarded = (from: number): string => fromNode(ipv6(own6, server).udp(from, 53)).verdict
    assert.equal(forwarded(slot2Port), 'SENT_PORT_REFUSAL')
    assert.equal(forwarded(slot2Port + 1), 'SENT_FORWARDED')
  })

  test('a packet of an open connection makes a lost claim again', () => {
    fromNode(ipv4(own, server).tcp(slot2Port, 443, ack))
    assert.ok(lifetime() > 7400)
  })
})

test('the programs load on a kernel without connection tracking for programs', { skip }, async () => {
  const bpffs = enterPrivateNamespaces()
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-object-'))
  const objectFile = join(folder, 'other.bpf.o')
  const text = readFileSync(defaultObjectFile, 'latin1')
  assert.match(text, /bpf_skb_ct_lookup/)
  writeFileSync(objectFile, text.replaceAll(/bpf_(skb_)?ct_(?!opts)/g, 'bpf_$1zz_'), 'latin1')
  try {
    const load = (shared: number) =>
      openDatapath({
        objectFile,
        pinDirectory: join(bpffs, `node${shared}`),
        knobs: { chained: 1, own_address_is_shared: shared },
      })
    await load(0)[Symbol.asyncDispose]()
    assert.throws(() => load(1), 'nothing that such a kernel lacks is called')
  } finally {
    rmSync(folder, { recursive: true })
  }
})
