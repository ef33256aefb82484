import assert from 'node:assert/strict'
import { test } from 'node:test'
import { enterPrivateNamespaces, privateNamespacesRefused } from '../../../test/support/private-namespaces.ts'
import { defaultObjectFile, openDatapath } from '../../datapath/datapath.ts'
import { createBridge, createVeth, createVxlan, findDevice, setDevice } from '../../linux/devices.ts'
import { Netlink } from '../../linux/netlink.ts'
import { mountStateOf } from '../plugin/runtime-folders.ts'
import { gatherNodeFacts, judgeNode, type NodeFacts } from './node-checks.ts'

const eth0 = { name: 'eth0', kind: undefined, mtu: 1500, vxlanPort: undefined, isDefaultRoute: true }
const well: NodeFacts = {
  kernel: '6.18.2',
  machine: 'x64',
  missing: [],
  devices: [eth0],
  programs: new Map([['eth0', ['from_world']]]),
  hasNetfilterOnBridges: false,
  bridgesOfPods: [],
  folders: {
    binaries: { path: '/opt/cni/bin', isReadOnly: false, isNoExec: false, loopback: 'missing' },
    configuration: { path: '/etc/cni/net.d', isReadOnly: false, isNoExec: false },
  },
  rpFilter: '2',
  hasConnectionTracking: true,
  rules: { chains: [], legacyTables: [], ipsec: [], routingRules: 0, routingSources: [] },
}
const wishes = { tunnelPort: 8472, mtu: 0, isChained: true, forwardsByStack: false, servicesByStack: false }
const ill = (facts: Partial<NodeFacts>, wanted = wishes): string[] =>
  judgeNode({ ...well, ...facts }, wanted)
    .filter(({ level }) => level !== 'fine')
    .map(({ level, what, remedy }) => `${level} ${what}: ${remedy}`)

test('a node that will do has nothing to say but that', () => {
  assert.deepEqual(ill({}), [])
})

for (const [name, facts, wanted, expected] of [
  ['what keeps programs from being loaded', { missing: ['no BPF file system'] }, wishes, /^problem no BPF file system/],
  ['a kernel without connection tracking for programs', { hasConnectionTracking: false }, wishes, /^warning egress policies cannot use this node's own address.*nf_conntrack/],
  ['another machine', { machine: 'ppc64' }, wishes, /^problem the CPU architecture of this node is ppc64/],
  ['a kernel that nobody has tried', { kernel: '5.15.0-91-generic' }, wishes, /^warning kernel 5\.15\.0-91-generic is older than 6\.1/],
  ['flannel on the tunnel’s port', { devices: [eth0, { ...eth0, name: 'flannel.1', kind: 'vxlan', vxlanPort: 8472, isDefaultRoute: false }] }, wishes, /^problem device flannel\.1 uses UDP port 8472.*tunnelPort=8473/],
  ['a device of our name', { devices: [eth0, { ...eth0, name: 'sallyport', kind: 'bridge', isDefaultRoute: false }] }, wishes, /^problem device sallyport .*not a VXLAN device/],
  ['no way out', { devices: [{ ...eth0, isDefaultRoute: false }] }, wishes, /^warning no device has a default route/],
  ['a small MTU', { devices: [{ ...eth0, mtu: 1300 }] }, wishes, /^warning device eth0 has MTU 1300, which leaves 1250/],
  ['an MTU that does not fit', {}, { ...wishes, mtu: 1500 }, /^problem mtu=1500 is too large for device eth0.*mtu=1450/],
  ['programs of others', { programs: new Map([['eth0', ['cil_from_netdev', 'from_world']]]) }, wishes, /^warning other programs are attached to device eth0 \(cil_from_netdev\)/],
  ['rules that do not apply to egress traffic', { rules: { chains: [], legacyTables: [], ipsec: [], routingRules: 1, routingSources: [] } }, wishes, /^warning These rules of the node do not apply to egress traffic: 1 routing rules that match a mark, a port or a type of service \(ip rule\)\. .*gatewayForwarding=stack/],
  ['a forward chain that drops packets of pods', { rules: { chains: [{ table: 'filter', name: 'FORWARD', hook: 'forward', drops: true, rules: 0 }], legacyTables: [], ipsec: [], routingRules: 0, routingSources: [] } }, { ...wishes, forwardsByStack: true }, /^warning Egress traffic goes through the network stack of the node\. There, nftables chain FORWARD of table filter drops/],
  ['strict reverse path filtering', { rpFilter: '1' }, wishes, /^warning net\.ipv4\.conf\.all\.rp_filter is 1/],
  ['netfilter on bridges of pods', { hasNetfilterOnBridges: true, bridgesOfPods: ['cni0'] }, wishes, /^warning bridge-nf-call-iptables is 1.*bridges of pods \(cni0\)/],
  ['a folder for plugins that runs none', { folders: { ...well.folders, binaries: { ...well.folders.binaries, isNoExec: true } } }, wishes, /^problem .*\/opt\/cni\/bin has the option noexec/],
  ['a folder for configurations that cannot be written', { folders: { ...well.folders, configuration: { ...well.folders.configuration, isReadOnly: true } } }, wishes, /^problem .*\/etc\/cni\/net\.d is read-only.*cni\.confPath/],
  ['a loopback plugin that does not run', { folders: { ...well.folders, binaries: { ...well.folders.binaries, loopback: 'not executable' } } }, wishes, /^problem \/opt\/cni\/bin\/loopback is not executable/],
] as const) // biome-ignore format: a table
  test(`said with its remedy: ${name}`, () => {
    const [told = '', ...more] = ill(facts as Partial<NodeFacts>, wanted)
    assert.match(told, expected)
    assert.deepEqual(more, [])
  })

test('netfilter on bridges that carry no pods is nothing to warn about', () => {
  assert.deepEqual(ill({ hasNetfilterOnBridges: true, bridgesOfPods: [] }), [])
})

test('a folder is what its nearest mount makes of it', () => {
  const mountinfo = [
    '22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/root rw',
    '30 22 8:1 /opt /opt rw,nosuid,noexec shared:2 - ext4 /dev/root rw',
    '31 30 8:2 / /opt/cni/bin rw,relatime - ext4 /dev/sdb ro',
  ].join('\n')
  const state = (path: string) => mountStateOf(path, mountinfo)
  assert.deepEqual(state('/optional'), { path: '/optional', isReadOnly: false, isNoExec: false })
  assert.deepEqual(state('/opt/cni'), { path: '/opt/cni', isReadOnly: false, isNoExec: true })
  assert.deepEqual(state('/opt/cni/bin'), { path: '/opt/cni/bin', isReadOnly: true, isNoExec: false })
})

test('facts of a real node are found', { skip: privateNamespacesRefused }, async () => {
  const bpffs = enterPrivateNamespaces()
  using netlink = new Netlink()
  createVxlan(netlink, { name: 'flannel.1', port: 8472 })
  await using datapath = openDatapath({ pinDirectory: `${bpffs}/sallyport` })
  assert.ok(datapath)
  for (const name of ['cni0', 'docker0']) createBridge(netlink, { name, mtu: 1500 })
  createVeth(netlink, { name: 'veth1', mtu: 1500, peer: { name: 'veth2' } })
  const indexOf = (name: string): number => findDevice(netlink, name)?.index ?? 0
  setDevice(netlink, indexOf('veth1'), { master: indexOf('cni0') })
  const facts = gatherNodeFacts(netlink, `${bpffs}/sallyport`, defaultObjectFile)
  assert.deepEqual(facts.missing, [])
  assert.deepEqual(facts.bridgesOfPods, ['cni0'])
  assert.equal(facts.devices.find(({ name }) => name === 'flannel.1')?.vxlanPort, 8472)
  assert.ok(judgeNode(facts, wishes).some(({ what }) => what.startsWith('device flannel.1 uses UDP port')))
})
