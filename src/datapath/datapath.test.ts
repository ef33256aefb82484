import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { enterPrivateNamespaces, privateNamespacesRefused } from '../../test/support/private-namespaces.ts'
import { createVeth, deleteDevice, findDevice, setDevice } from '../linux/devices.ts'
import { Netlink } from '../linux/netlink.ts'
import type { Address } from '../net/address.ts'
import { type Prefix, parsePrefix } from '../net/prefix.ts'
import { type Datapath, type DatapathOptions, defaultObjectFile, openDatapath } from './datapath.ts'
import type { Desired } from './desired.ts'
import { listMechanisms } from './hooks/hooks.ts'
import { elfSection } from './layout/elf.ts'
import { removeDatapath } from './remove.ts'

const skip = privateNamespacesRefused
const mechanisms = skip ? [] : listMechanisms()
const scratch = mkdtempSync(join(tmpdir(), 'sallyport-test-'))
const bpffs = skip ? '' : enterPrivateNamespaces()
const a = (text: string): Address => text as Address
const p = (text: string): Prefix => parsePrefix(text) as Prefix

const noOwners: readonly undefined[] = Array.from({ length: 4096 })

const services: Desired['services'] = [
  {
    address: a('10.96.0.7'),
    port: 443,
    protocol: 6,
    affinityMs: 10_800_000,
    endpoints: [
      { address: a('203.0.113.9'), port: 8443 },
      { address: a('203.0.113.10'), port: 8443 },
    ],
    leaving: [{ address: a('203.0.113.11'), port: 8443 }],
  },
]
const networkPolicies = {
  networkRules: new Map([
    [
      2n ** 63n + 9n,
      new Map([
        [p('0.0.0.0/0'), { action: 'deny' }],
        [p('198.51.100.0/24'), { action: 'allowPorts', portList: 2n ** 63n + 8n }],
        [p('2001:db8::/32'), { action: 'allow' }],
      ]),
    ],
  ]),
  portLists: new Map([
    [
      2n ** 63n + 8n,
      [
        { protocol: 6, first: 443, last: 444 },
        { protocol: 17, first: 0, last: 65535 },
      ],
    ],
  ]),
}

const links = {
  links: new Map([
    [
      a('172.18.0.4'),
      {
        answeredNs: 0n,
        probeSource: a('172.18.0.42'),
        ifindex: 9,
        mtu: 1500,
        mac: '02:00:00:00:00:04',
        ownMac: '02:00:00:00:00:03',
      },
    ],
  ]),
  linkMacs: new Map([['02:00:00:00:00:04', a('172.18.0.4')]]),
  nodeClients: new Map([[4, { address: a('10.244.1.1'), turned: a('10.244.1.0') }]]),
}

function desired(changes: Partial<Desired> = {}): Desired {
  return {
    self: {
      tunnelAddress: a('172.18.0.3'),
      masquerade4: a('172.18.0.3'),
      masquerade6: undefined,
      slot: 1,
      overlayIfindex: 9,
      forwardIfindex: 0,
      tunnelMtu: 1450,
      overlayMac: '02:00:00:00:00:01',
    },
    nodes: new Map([
      [a('172.18.0.3'), { slot: 1 }],
      [a('172.18.0.4'), { slot: undefined }],
    ]),
    ...links,
    egressIps: new Map([
      [
        a('172.18.0.42'),
        {
          order: [a('172.18.0.4'), a('172.18.0.3')],
          blockOwner: noOwners.with(2048, 1 as never).with(2049, 'self' as never),
        },
      ],
    ]),
    pools: [{ address: a('172.18.0.42'), purpose: 'egress', blocks: [2048, 2050] }],
    groups: new Map([
      [77n, { preferred: [a('172.18.0.42')], standby: [a('172.18.0.43')], keepsAddress: true }],
    ]),
    cluster: new Map([
      [p('10.244.1.0/24'), { kind: 'pods', tunnelAddress: a('172.18.0.4') }],
      [p('172.18.0.3/32'), { kind: 'host' }],
      [p('fd00::/64'), { kind: 'stack' }],
    ]),
    rules: new Map([
      [
        2n ** 63n + 5n,
        new Map([
          [p('0.0.0.0/0'), { action: 'egress', group: 77n, policy: 3n }],
          [p('198.51.100.0/24'), { action: 'exclude', policy: 3n }],
          [p('2001:db8::/32'), { action: 'drop', reason: 'DROP_NO_EGRESS_IP', policy: 3n }],
        ]),
      ],
    ]),
    services,
    ...networkPolicies,
    pods: new Map([
      [
        a('10.244.0.5'),
        {
          policySet: 2n ** 63n + 5n,
          networkSet: 2n ** 63n + 9n,
          sinceNs: 1n,
          ifindex: 12,
          mac: '02:00:00:00:00:05',
          hostMac: '02:00:00:00:00:06',
          isQuarantined: false,
          isNode: false,
        },
      ],
    ]),
    ...changes,
  } as Desired
}

/** What the tables hold, read back from the kernel. */
function held(datapath: Datapath): unknown {
  const {
    self,
    nodes,
    slots,
    egress_ips,
    links,
    link_macs,
    pools,
    groups,
    cluster,
    rules,
    services,
    service_endpoints,
    service_members,
    network_rules,
    port_lists,
    node_clients,
    pods,
  } = datapath.tables
  return {
    self: self.get(0),
    slots: [...slots.entries()],
    nodes: new Map(nodes.entries()),
    links: new Map(links.entries()),
    linkMacs: new Map(link_macs.entries()),
    egressIps: new Map(egress_ips.entries()),
    pools: [...pools.entries()].map(([key, blocks]) => ({ ...key, blocks })),
    groups: new Map(groups.entries()),
    cluster: new Map(cluster.entries()),
    rules: new Map([...rules.entries()].map(([key, rule]) => [`${key.set} ${key.destination}`, rule])),
    services: [...services.entries()].map(([key, service]) => ({
      ...key,
      affinityMs: Number(service.affinityNs / 1_000_000n),
      endpoints: [...service_endpoints.entries()]
        .toSorted(([one], [other]) => one.place - other.place)
        .map(([, endpoint]) => endpoint),
      leaving: [...service_members.entries()]
        .filter(([, { takesNew }]) => !takesNew)
        .map(([{ endpoint }]) => endpoint),
    })),
    networkRules: new Map(
      [...network_rules.entries()].map(([key, rule]) => [`${key.set} ${key.destination}`, rule]),
    ),
    portLists: new Map(port_lists.entries()),
    nodeClients: new Map(node_clients.entries()),
    pods: new Map(pods.entries()),
  }
}

function expectation({ rules, networkRules, ...rest }: Desired): unknown {
  return {
    ...rest,
    slots: [...rest.nodes]
      .filter(([, { slot }]) => slot !== undefined)
      .map(([address, { slot }]) => [slot, address]),
    rules: new Map(
      [...rules].flatMap(([policySet, byDestination]) =>
        [...byDestination].map(([destination, rule]) => [`${policySet} ${destination}`, rule] as const),
      ),
    ),
    networkRules: new Map(
      [...networkRules].flatMap(([networkSet, byDestination]) =>
        [...byDestination].map(([destination, rule]) => [`${networkSet} ${destination}`, rule] as const),
      ),
    ),
  }
}

function open(options: DatapathOptions = {}): Datapath {
  return openDatapath({ pinDirectory: join(bpffs, 'shared'), ...options })
}
after(() => {
  rmSync(scratch, { recursive: true })
  if (!skip) removeDatapath(join(bpffs, 'shared'))
})

test('tables hold what is desired, read back as it was; applying again writes nothing', {
  skip,
}, async () => {
  await using datapath = open()
  const wanted = desired()
  const first = await datapath.apply(wanted)
  assert.ok(first.puts > 10)
  assert.deepEqual(held(datapath), expectation(wanted))
  assert.deepEqual(await datapath.apply(desired()), { puts: 0, deletes: 0, tables: [] })
})

test('only what differs is written', { skip }, async () => {
  await using datapath = open()
  await datapath.apply(desired())
  const wanted = desired({
    groups: new Map([[78n, { preferred: [a('172.18.0.42')], standby: [], keepsAddress: false }]]),
    pods: new Map(),
  })
  assert.deepEqual(await datapath.apply(wanted), { puts: 1, deletes: 2, tables: ['groups', 'pods'] })
  assert.deepEqual(held(datapath), expectation(wanted))
})

test('the same list of Services is not encoded and compared again, unless writing failed', {
  skip,
}, async () => {
  await using datapath = open()
  let reads = 0
  const counted = new Proxy(services, {
    get: (list, key, own) => {
      if (key === Symbol.iterator) reads++
      return Reflect.get(list, key, own)
    },
  })
  await datapath.apply(desired({ services: counted }))
  const before = reads
  assert.ok(before > 0)
  assert.deepEqual(await datapath.apply(desired({ services: counted })), { puts: 0, deletes: 0, tables: [] })
  assert.equal(reads, before)
  await datapath.apply(desired({ services: [] }))
  const again = desired({ services: counted })
  const { tables } = await datapath.apply(again)
  assert.deepEqual(tables, ['service_endpoints', 'service_members', 'services'])
  assert.deepEqual(held(datapath), expectation(again))
})

test('a restarted agent finds what the earlier one wrote, flows included', { skip }, async () => {
  const flow = {
    source: a('10.244.0.5'),
    destination: a('203.0.113.9'),
    source_port: 40000,
    destination_port: 443,
    protocol: 6,
  }
  const back = { ...flow, source: a('172.18.0.42'), source_port: 32768 }
  {
    await using datapath = open()
    await datapath.apply(desired())
    datapath.tables.ports.set(back, flow)
  }
  await using datapath = open()
  assert.deepEqual(await datapath.apply(desired()), { puts: 1, deletes: 0, tables: ['self'] })
  assert.deepEqual(datapath.tables.ports.get(back), flow)
  assert.equal(datapath.tables.ports.delete(back), true)
  assert.equal(datapath.tables.ports.delete(back), false)
})

test('many entries go in batches, and a full table is an error that names it', { skip }, async () => {
  await using datapath = open()
  const pods = new Map(
    Array.from({ length: 1025 }, (_, index) => [
      a(`10.244.${index >> 8}.${index & 255}`),
      {
        policySet: 0n,
        networkSet: 0n,
        sinceNs: 1n,
        ifindex: index,
        mac: '02:00:00:00:00:05',
        hostMac: '02:00:00:00:00:06',
        isQuarantined: false,
        isNode: false,
      },
    ]),
  )
  await assert.rejects(datapath.apply(desired({ pods })), /map pods is full \(1024 entries\)/)
  pods.delete(a('10.244.0.0'))
  await datapath.apply(desired({ pods }))
  assert.equal(datapath.tables.pods.count(), 1024)
  await datapath.apply(desired())
})

test('an object file that is none, an unknown knob, and a place that is no BPF file system are refused', {
  skip,
}, () => {
  assert.throws(() => open({ objectFile: '/nowhere.o' }), /\/nowhere.o does not exist: run make build/)
  assert.throws(() => open({ objectFile: '/etc/passwd' }), /not a 64-bit little-endian ELF file/)
  assert.throws(() => open({ knobs: { no_such_knob: 1 } }), /has no knob no_such_knob. It has .*udp_ns/)
  assert.throws(() => open({ pinDirectory: '/tmp/sallyport' }), /not on a BPF file system.*mount -t bpf/)
})

for (const mechanism of mechanisms)
  test(`programs on devices by ${mechanism}: attached once, listed, replaced, detached, gone with the device`, {
    skip,
  }, async () => {
    using netlink = new Netlink()
    createVeth(netlink, { name: 'v0', peer: { name: 'v1' } })
    const index = findDevice(netlink, 'v0')?.index ?? 0
    const peer = findDevice(netlink, 'v1')?.index ?? 0
    await using datapath = open({ mechanism })
    await datapath.apply(desired())
    const incoming = datapath.attach('from_pod', index)
    assert.deepEqual(incoming, { program: 'from_pod', ifindex: index, direction: 'ingress', mechanism })
    assert.deepEqual(datapath.attach('from_pod', index), incoming)
    const outgoing = datapath.attach('to_pod', index, 'egress')
    const elsewhere = datapath.attach('from_world', peer)
    assert.equal(datapath.attachments().length, 3)
    datapath.detach(outgoing)
    assert.deepEqual(
      datapath.attachments().toSorted((x, y) => (x.program < y.program ? -1 : 1)),
      [incoming, elsewhere],
    )
    deleteDevice(netlink, index)
    assert.deepEqual(datapath.attachments(), [])
    assert.throws(() => datapath.attach('from_pod', index), /attach from_pod at the ingress of device \d+/)
  })

test('a guard is attached when a load takes over, before its programs hand it packets, and only if it is not there yet', {
  skip,
}, async () => {
  using netlink = new Netlink()
  createVeth(netlink, { name: 'g0', peer: { name: 'g1' } })
  const ifindex = findDevice(netlink, 'g0')?.index ?? 0
  const guard = { program: 'to_world', ifindex, direction: 'egress' } as const
  const gone = { ...guard, ifindex: 9999 }
  await using datapath = open()
  await datapath.apply(desired(), [guard, gone])
  const [attached, ...others] = datapath.attachments()
  assert.deepEqual([attached?.program, attached?.ifindex, others], ['to_world', ifindex, []])
  datapath.detach(attached ?? assert.fail())
  await datapath.apply(desired(), [guard])
  assert.deepEqual(datapath.attachments(), [], 'later the caller attaches what is missing')
  deleteDevice(netlink, ifindex)
})

/** Packets that a device received, as the kernel counts them. */
function received(device: string): bigint {
  const line = readFileSync('/proc/thread-self/net/dev', 'utf8')
    .split('\n')
    .find((one) => one.trim().startsWith(`${device}:`))
  return BigInt(line?.trim().split(/[:\s]+/)[2] ?? 0)
}

const sender = `
  const socket = require('node:dgram').createSocket('udp4')
  socket.bind(0, '192.0.2.1', () => {
    console.log('ready')
    let sent = 0
    const send = () => { for (let i = 0; i < 20; i++) socket.send('x', 9, '192.0.2.2'); if ((sent += 20) < 20000) setImmediate(send); else setTimeout(() => process.exit(0), 50) }
    process.stdin.once('data', send)
  })`

for (const mechanism of mechanisms)
  test(`no packet finds the hook empty while programs are replaced by ${mechanism}`, { skip }, async () => {
    using netlink = new Netlink()
    createVeth(netlink, { name: 'r0', peer: { name: 'r1' } })
    const index = findDevice(netlink, 'r0')?.index ?? 0
    await using datapath = open({ mechanism })
    await datapath.apply(desired())
    datapath.attach('to_pod', index)
    const before = datapath.counts().find(({ program }) => program === 'TO_POD')?.packets ?? 0n
    const { putAddress } = await import('../linux/device-addresses.ts')
    const { putNeighbour } = await import('../linux/neighbours.ts')
    const peer = findDevice(netlink, 'r1')?.index ?? 0
    putAddress(netlink, { index: peer, address: a('192.0.2.1'), prefixLength: 24 })
    setDevice(netlink, peer, { isUp: true })
    setDevice(netlink, index, { isUp: true })
    putNeighbour(netlink, { index: peer, address: a('192.0.2.2'), mac: '02:00:00:00:00:99' })
    const child = spawn(process.execPath, ['-e', sender], { stdio: ['pipe', 'pipe', 'inherit'] })
    await new Promise((resolve) => child.stdout.once('data', resolve))
    const ended = new Promise((resolve) => child.once('exit', resolve))
    child.stdin.write('go')
    let replaced = 0
    while (child.exitCode === null) {
      datapath.attach('to_pod', index)
      replaced++
      if (replaced % 50 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    await ended
    const counted = (datapath.counts().find(({ program }) => program === 'TO_POD')?.packets ?? 0n) - before
    assert.ok(received('r0') >= 20000n, `${received('r0')} packets came`)
    assert.ok(replaced > 100, `${replaced} replacements`)
    assert.equal(counted, received('r0'))
    deleteDevice(netlink, index)
  })

test('an agent that is killed leaves tables and programs in force; the next one takes them over', {
  skip,
}, async () => {
  using netlink = new Netlink()
  createVeth(netlink, { name: 'k0', peer: { name: 'k1' } })
  const index = findDevice(netlink, 'k0')?.index ?? 0
  const pinDirectory = join(bpffs, 'killed')
  const agent = `
    import { openDatapath } from ${JSON.stringify(new URL('./datapath.ts', import.meta.url).href)}
    const datapath = openDatapath({ pinDirectory: ${JSON.stringify(pinDirectory)} })
    datapath.tables.slots.set(7, '172.18.0.9')
    datapath.attach('from_pod', ${index})
    console.log('ready')
    setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, [...process.execArgv, '--input-type=module', '-e', agent], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await new Promise((resolve) => child.stdout.once('data', resolve))
  const ended = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGKILL')
  await ended
  await using datapath = open({ pinDirectory })
  assert.equal(datapath.tables.slots.get(7), '172.18.0.9')
  assert.deepEqual(datapath.attachments(), [
    { program: 'from_pod', ifindex: index, direction: 'ingress', mechanism: mechanisms[0] },
  ])
  await datapath.apply(desired())
  assert.equal(datapath.tables.slots.get(7), undefined)
  deleteDevice(netlink, index)
  assert.deepEqual(datapath.attachments(), [])
  removeDatapath(pinDirectory)
  assert.equal(existsSync(pinDirectory), false)
})

/** The compiled datapath with some bytes of one section changed, in a file of its own. */
function changedObject(name: string, section: string, change: (bytes: Buffer) => void): string {
  const file = readFileSync(defaultObjectFile)
  change(elfSection(file, section))
  const path = join(scratch, name)
  writeFileSync(path, file)
  return path
}

test('a load that the verifier refuses leaves everything as it was, and says what the verifier said', {
  skip,
}, async () => {
  using netlink = new Netlink()
  createVeth(netlink, { name: 't0', peer: { name: 't1' } })
  const index = findDevice(netlink, 't0')?.index ?? 0
  const pinDirectory = join(bpffs, 'refused')
  const objectFile = changedObject('refused.o', 'tc', (bytes) => bytes.writeUInt8(0xff, 0))
  {
    await using datapath = open({ pinDirectory })
    await datapath.apply(desired())
    datapath.attach('from_pod', index)
  }
  assert.throws(() => open({ pinDirectory, objectFile }), /load .*refused.o: EINVAL .*unknown opcode ff/s)
  await using datapath = open({ pinDirectory })
  assert.equal(datapath.attachments().length, 1)
  assert.deepEqual(held(datapath), expectation(desired()))
  deleteDevice(netlink, index)
  removeDatapath(pinDirectory)
})

test('other layouts get maps of their own, and the old ones stay until those are filled', {
  skip,
}, async () => {
  const pinDirectory = join(bpffs, 'upgraded')
  const pins = (): string[] => readdirSync(join(pinDirectory, 'maps')).sort()
  const objectFile = changedObject('upgraded.o', '.BTF', (bytes) => {
    /* Maps of 8192 entries grow by one: in the array types that carry their number (kind 3, six words). */
    for (let at = 24; at + 24 <= bytes.length; at += 4)
      if (bytes.readUInt32LE(at + 4) === 3 << 24 && bytes.readUInt32LE(at + 20) === 8192)
        bytes.writeUInt32LE(8193, at + 20)
  })
  await using old = open({ pinDirectory })
  await old.apply(desired())
  const before = pins()
  await using datapath = open({ pinDirectory, objectFile })
  const both = pins()
  assert.ok(both.length > before.length && before.every((pin) => both.includes(pin)))
  for (const table of ['egress_ips', 'pools'] as const) {
    assert.equal(datapath.tables[table].count(), 0)
    const present = datapath.present(table)
    assert.deepEqual(present, [...old.tables[table].entries()])
    assert.ok(present.length > 0)
  }
  await datapath.apply(desired())
  assert.equal(pins().length, before.length)
  assert.notDeepEqual(pins(), before)
  assert.deepEqual(held(datapath), expectation(desired()))
  removeDatapath(pinDirectory)
})

test('drops come out of the ring buffer with their flow and verdict', { skip }, async () => {
  await using datapath = open()
  await datapath.apply(desired())
  const ended = new AbortController()
  const drops = datapath.drops(ended.signal)
  const next = drops.next()
  const udp = Buffer.from(
    '020000000006020000000005080045000020000000004011000063636363cb007109' + '9c4001bb000c0000' + '61626364',
    'hex',
  )
  datapath.testRun('from_pod', udp)
  const { value: drop } = await next
  ended.abort()
  await drops.next()
  assert.equal(drop?.verdict, 'DROP_UNKNOWN_POD')
  assert.equal(drop?.program, 'FROM_POD')
  assert.equal(drop?.flow.source, '99.99.99.99')
  assert.equal(drop?.flow.destination, '203.0.113.9')
  assert.equal(drop?.length, udp.length)
  assert.ok(
    datapath.counts().some((count) => count.program === 'FROM_POD' && count.verdict === 'DROP_UNKNOWN_POD'),
  )
})
