import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Address } from '../../net/address.ts'
import type { Prefix } from '../../net/prefix.ts'
import type { ClusterFacts } from './facts.ts'
import { judgeCluster, type Wishes } from './judge.ts'
import { missingPluginIn } from './sandboxes.ts'
import { rangesIn } from './services.ts'

const node = (name: string, index: number): ClusterFacts['nodes'][number] => ({
  name,
  kernel: '6.18.2',
  machine: 'amd64',
  system: 'linux',
  addresses: [`172.18.0.${index}`],
  podCIDRs: [`10.244.${index}.0/24`],
})

const well: ClusterFacts = {
  version: 'v1.31.2',
  clockAheadMs: 120,
  missingRights: [],
  foreignDefinitions: [],
  daemonSets: ['kube-system/kindnet', 'kube-system/kube-proxy'],
  nodes: [node('worker', 2), node('worker2', 3)],
  pods: [{ name: 'default/web', ips: ['10.244.2.7' as Address] }],
  services: { prefixes: ['10.96.0.0/16' as Prefix], addresses: ['10.96.0.1' as Address] },
  missingPlugins: [],
  helmRelease: undefined,
  rehearsals: [{ object: 'configmap/sallyport-config', refusal: undefined, warnings: [] }],
}
const chained: Wishes = {
  isChained: true,
  stackCIDRs: ['10.96.0.0/12' as Prefix],
  tunnelPort: 8472,
  binaries: '/opt/cni/bin',
  image: 'registry.example.com/sallyport',
}
/** The only CNI plugin, beside something that serves Services and is no DaemonSet that is known. */
const standalone: Wishes = { ...chained, isChained: false }
const noService = /no DaemonSet kube-proxy was found/

/** What the tables below are not about. */
const isExpected = (wishes: Wishes, what: string): boolean => !wishes.isChained && noService.test(what)

const ill = (facts: Partial<ClusterFacts>, wishes = standalone): string[] =>
  judgeCluster({ ...well, ...(wishes.isChained ? {} : { daemonSets: [] }), ...facts }, wishes)
    .filter(({ level, what }) => level !== 'fine' && !isExpected(wishes, what))
    .map(({ level, what, remedy }) => `${level} ${what}: ${remedy}`)

test('a cluster that will do has nothing to say but that', () => {
  assert.deepEqual(ill({}), [])
  assert.deepEqual(ill({}, chained), [])
  assert.ok(judgeCluster(well, chained).length >= 5)
})

describe('what would keep an install from working is said with its remedy', () => {
  for (const [name, facts, wishes, expected] of [
    ['an image that nodes cannot pull', {}, { ...chained, image: 'sallyport' }, /^warning the image sallyport names no registry.*image\.repository/],
    ['an old API server', { version: 'v1.27.9' }, standalone, /^problem .*v1\.27\.9: .*1\.28 or later/],
    ['a version that nobody can read', { version: 'unknown' }, standalone, /^problem the API server is unknown/],
    ['a right', { missingRights: ['create clusterroles.rbac.authorization.k8s.io'] }, standalone, /^problem you may not create clusterroles/],
    ['a clock that is off', { clockAheadMs: -95_000 }, standalone, /^warning .*95 s behind/],
    ['another plugin, not chained', { daemonSets: ['kube-system/kindnet'] }, standalone, /^problem kindnet wires.*generic-veth/],
    ['another gateway', { daemonSets: ['kube-system/antrea-agent'] }, chained, /^warning Antrea.*switch its egress gateway off/],
    ['a tunnel of the same port', { daemonSets: ['kube-flannel/kube-flannel-ds'] }, chained, /^problem flannel has UDP port 8472 .*tunnelPort=8473/],
    ['pods where nobody would look for them', { pods: [{ name: 'default/web', ips: ['192.168.4.7' as Address] }] }, standalone, /^problem pod default\/web has an address \(192\.168\.4\.7\) outside/],
    ['nobody to chain to', { daemonSets: [] }, chained, /^warning no CNI plugin/],
    ['an old kernel', { nodes: [{ ...node('old', 2), kernel: '5.10.0-46-amd64' }] }, standalone, /^problem kernels older than 5\.12 on old/],
    ['a kernel that nobody has tried', { nodes: [{ ...node('lts', 2), kernel: '5.15.0-91-generic' }, { ...node('well', 3), kernel: '6.1.0-56-amd64' }] }, standalone, /^warning kernels older than 6\.1 on lts:/],
    ['another machine', { nodes: [{ ...node('big', 2), machine: 's390x' }] }, standalone, /^problem neither.*big/],
    ['a node without an address', { nodes: [{ ...node('lost', 2), addresses: [] }] }, standalone, /^problem no InternalIP on lost/],
    ['a node without a prefix for pods', { nodes: [{ ...node('bare', 2), podCIDRs: [] }], pods: [] }, standalone, /^problem no spec\.podCIDRs on bare.*allocate-node-cidrs/],
    ['prefixes that overlap', { nodes: [node('one', 2), { ...node('two', 3), podCIDRs: ['10.244.0.0/16'] }] }, standalone, /^problem the pods' prefixes of one .* and two .* overlap/],
    ['Services that a policy could claim', { services: { prefixes: ['172.20.0.0/16' as Prefix], addresses: ['172.20.0.1' as Address] } }, chained, /^problem the cluster's Services have 172\.20\.0\.0\/16, 172\.20\.0\.1, outside stackCIDRs \(10\.96\.0\.0\/12\).*--set stackCIDRs=\{172\.20\.0\.0\/16\}/],
    ['Services of which stackCIDRs has a part', { services: { prefixes: ['10.0.0.0/8' as Prefix], addresses: [] } }, chained, /^problem the cluster's Services have 10\.0\.0\.0\/8, outside/],
    ['Services of which one address is known', { services: { prefixes: [], addresses: ['10.43.0.1' as Address] } }, chained, /^problem the cluster's Services have 10\.43\.0\.1, outside/],
    ['kube-proxy, without a plugin that carries its answers', { daemonSets: ['kube-system/kube-proxy'] }, standalone, /^problem kube-proxy serves Services here.*no DNS.*generic-veth/],
    ['a Helm release', { helmRelease: 'gateway', rehearsals: [] }, chained, /^warning Sallyport is installed by the Helm release gateway.*helm upgrade/],
    ['an object that the API server refuses', { rehearsals: [{ object: 'customresourcedefinition.apiextensions.k8s.io/x', refusal: 'Forbidden: must not specify', warnings: [] }] }, chained, /^problem the API server refuses customresourcedefinition.*must not specify/],
    ['an object that the API server warns of', { rehearsals: [{ object: 'daemonset.apps/sallyport', refusal: undefined, warnings: ['would violate PodSecurity'] }] }, chained, /^warning the API server warns of daemonset\.apps\/sallyport: would violate/],
    ['a webhook that does not try', { rehearsals: [{ object: 'configmap/c', refusal: 'admission webhook "w" does not support dry run', warnings: [] }] }, chained, /^warning configmap\/c could not be tried/],
    ['a runtime that looks elsewhere for plugins', { missingPlugins: [{ plugin: 'loopback', folders: ['/usr/lib/cni'], node: 'n1' }] }, chained, /^problem the container runtime of n1 looks for CNI plugins in \/usr\/lib\/cni, not in \/opt\/cni\/bin: --set cni\.binPath=\/usr\/lib\/cni/],
    ['a plugin that is missing', { missingPlugins: [{ plugin: 'portmap', folders: ['/usr/lib/cni', '/opt/cni/bin'], node: 'n1' }] }, chained, /^warning pods did not start on n1: .*no plugin portmap/],
    ['nodes among the Services', { nodes: [{ ...node('inside', 2), addresses: ['10.100.0.5'] }] }, standalone, /^problem node inside .*stackCIDRs/],
  ] as const) // biome-ignore format: a table
    test(name, () => {
      const [told = '', ...more] = ill(facts, wishes)
      assert.match(told, expected)
      assert.deepEqual(more, [])
    })

  test('chained, pods’ prefixes are the other plugin’s business', () => {
    const nodes = [{ ...node('bare', 2), podCIDRs: [] }]
    assert.deepEqual(ill({ nodes, pods: [], daemonSets: ['kube-system/kindnet'] }, chained), [])
  })

  test('beside Cilium three things have to be seen to', () => {
    const [gateway = '', others = '', port = ''] = ill({ daemonSets: ['kube-system/cilium'] }, chained)
    assert.match(gateway, /^warning Cilium.*switch its egress gateway off/)
    assert.match(others, /^warning Cilium keeps other plugins out: .*cni\.exclusive=false/)
    assert.match(port, /^problem Cilium has UDP port 8472/)
  })

  test('a loopback plugin that is missing is no reason to worry: the agent brings one', () => {
    const missing = missingPluginIn(
      'Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup network for sandbox "a": failed to find plugin "loopback" in path [/usr/lib/cni /opt/cni/bin]',
      'n1',
    )
    assert.deepEqual(missing, { plugin: 'loopback', folders: ['/usr/lib/cni', '/opt/cni/bin'], node: 'n1' })
    assert.deepEqual(ill({ missingPlugins: [missing ?? assert.fail()] }, chained), [])
  })

  test('an older API server names the range of its Services when it refuses an address', () => {
    const message =
      'spec.clusterIPs: Invalid value: ["192.0.2.1"]: failed to allocate IP 192.0.2.1: the provided IP (192.0.2.1) is not in the valid range. The range of valid IPs is 10.96.0.0/12'
    assert.deepEqual(rangesIn(message), ['10.96.0.0/12'])
  })

  test('a definition of another product is no reason to worry', () => {
    const findings = judgeCluster({ ...well, foreignDefinitions: ['x.cilium.io'] }, standalone)
    assert.ok(
      findings.some(({ level, what }) => level === 'fine' && what.startsWith('x.cilium.io is another')),
    )
  })
})
