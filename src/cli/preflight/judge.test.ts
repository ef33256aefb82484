import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Address } from '../../net/address.ts'
import type { Prefix } from '../../net/prefix.ts'
import type { ClusterFacts } from './facts.ts'
import { judgeCluster, type PlannedInstall } from './judge.ts'
import { missingPluginIn } from './missing-plugins.ts'
import { rangesIn } from './services.ts'

const node = (name: string, index: number): ClusterFacts['nodes'][number] => ({
  name,
  kernel: '6.18.2',
  machine: 'amd64',
  system: 'linux',
  addresses: [`172.18.0.${index}`],
  podCIDRs: [`10.244.${index}.0/24`],
})

const suitable: ClusterFacts = {
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
  dryRuns: [{ object: 'configmap/sallyport-config', refusal: undefined, warnings: [] }],
}
const chained: PlannedInstall = {
  isChained: true,
  servicesByStack: false,
  apiServer: undefined,
  stackCIDRs: ['10.96.0.0/12' as Prefix],
  tunnelPort: 8472,
  binaries: '/opt/cni/bin',
  image: 'registry.example.com/sallyport',
}
/** Sallyport as the only CNI plugin, with an unknown component that handles Services. */
const standalone: PlannedInstall = { ...chained, isChained: false, servicesByStack: true }
const noService = /there is no DaemonSet kube-proxy/

/** A finding that the table below does not test. */
const isExpected = (planned: PlannedInstall, what: string): boolean =>
  !planned.isChained && noService.test(what)

const complaints = (facts: Partial<ClusterFacts>, planned = standalone): string[] =>
  judgeCluster({ ...suitable, ...(planned.isChained ? {} : { daemonSets: [] }), ...facts }, planned)
    .filter(({ level, what }) => level !== 'fine' && !isExpected(planned, what))
    .map(({ level, what, remedy }) => `${level} ${what}: ${remedy}`)

test('a suitable cluster has no warnings and no problems', () => {
  assert.deepEqual(complaints({}), [])
  assert.deepEqual(complaints({}, chained), [])
  assert.ok(judgeCluster(suitable, chained).length >= 5)
})

describe('preflight reports, with a remedy,', () => {
  for (const [name, facts, planned, expected] of [
    ['an image that nodes cannot pull', {}, { ...chained, image: 'sallyport' }, /^warning the image sallyport has no registry.*image\.repository/],
    ['an old API server', { version: 'v1.27.9' }, standalone, /^problem .*v1\.27\.9: .*1\.28 or later/],
    ['an unreadable version', { version: 'unknown' }, standalone, /^problem the API server has version unknown/],
    ['a missing right', { missingRights: ['create clusterroles.rbac.authorization.k8s.io'] }, standalone, /^problem you may not create clusterroles/],
    ['a clock that is off', { clockAheadMs: -95_000 }, standalone, /^warning .*95 s behind/],
    ['another CNI plugin without chaining', { daemonSets: ['kube-system/kindnet'] }, standalone, /^problem kindnet connects.*generic-veth/],
    ['another gateway', { daemonSets: ['kube-system/antrea-agent'] }, chained, /^warning Antrea.*disable its egress gateway/],
    ['a tunnel with the same port', { daemonSets: ['kube-flannel/kube-flannel-ds'] }, chained, /^problem flannel uses UDP port 8472 .*tunnelPort=8473/],
    ['pods outside the known ranges', { pods: [{ name: 'default/web', ips: ['192.168.4.7' as Address] }] }, standalone, /^problem pod default\/web has an address \(192\.168\.4\.7\) outside/],
    ['no CNI plugin to chain to', { daemonSets: [] }, chained, /^warning there is no known CNI plugin/],
    ['an old kernel', { nodes: [{ ...node('old', 2), kernel: '5.10.0-46-amd64' }] }, standalone, /^problem kernels older than 5\.12 on old/],
    ['an untested kernel', { nodes: [{ ...node('lts', 2), kernel: '5.15.0-91-generic' }, { ...node('well', 3), kernel: '6.1.0-56-amd64' }] }, standalone, /^warning kernels older than 6\.1 on lts:/],
    ['a kernel without connection tracking for programs', { nodes: [{ ...node('lts', 2), kernel: '5.15.0-91-generic' }] }, chained, /^warning kernels older than 6\.1 on lts: .* As gateways, these nodes need another address than their own/],
    ['another architecture', { nodes: [{ ...node('big', 2), machine: 's390x' }] }, standalone, /^problem nodes that are not Linux on .*: big/],
    ['a node without an address', { nodes: [{ ...node('lost', 2), addresses: [] }] }, standalone, /^problem no InternalIP on lost/],
    ['a node without pod CIDRs', { nodes: [{ ...node('bare', 2), podCIDRs: [] }], pods: [] }, standalone, /^problem no spec\.podCIDRs on bare.*allocate-node-cidrs/],
    ['overlapping pod CIDRs', { nodes: [node('one', 2), { ...node('two', 3), podCIDRs: ['10.244.0.0/16'] }] }, standalone, /^problem the pod CIDRs of one .* and two .* overlap/],
    ['Services outside stackCIDRs', { services: { prefixes: ['172.20.0.0/16' as Prefix], addresses: ['172.20.0.1' as Address] } }, chained, /^problem Services have addresses in 172\.20\.0\.0\/16, 172\.20\.0\.1, outside stackCIDRs \(10\.96\.0\.0\/12\).*--set stackCIDRs=\{172\.20\.0\.0\/16\}/],
    ['Services partly outside stackCIDRs', { services: { prefixes: ['10.0.0.0/8' as Prefix], addresses: [] } }, chained, /^problem Services have addresses in 10\.0\.0\.0\/8, outside/],
    ['Services with one known address', { services: { prefixes: [], addresses: ['10.43.0.1' as Address] } }, chained, /^problem Services have addresses in 10\.43\.0\.1, outside/],
    ['kube-proxy, and an install that replaces it', { daemonSets: ['kube-system/kube-proxy'] }, { ...standalone, servicesByStack: false }, /^problem kube-proxy handles Services here.*kubeProxyReplacement=false/],
    ['a Helm release', { helmRelease: 'gateway', dryRuns: [] }, chained, /^warning the Helm release gateway manages this install: .*helm upgrade/],
    ['an object that the API server refuses', { dryRuns: [{ object: 'customresourcedefinition.apiextensions.k8s.io/x', refusal: 'Forbidden: must not specify', warnings: [] }] }, chained, /^problem the API server refuses customresourcedefinition.*must not specify/],
    ['an object that the API server warns about', { dryRuns: [{ object: 'daemonset.apps/sallyport', refusal: undefined, warnings: ['would violate PodSecurity'] }] }, chained, /^warning the API server warns about daemonset\.apps\/sallyport: would violate/],
    ['a webhook without dry run', { dryRuns: [{ object: 'configmap/c', refusal: 'admission webhook "w" does not support dry run', warnings: [] }] }, chained, /^warning configmap\/c cannot be checked before the install/],
    ['a container runtime with another plugin folder', { missingPlugins: [{ plugin: 'loopback', folders: ['/usr/lib/cni'], node: 'n1' }] }, chained, /^problem the container runtime of n1 looks for CNI plugins in \/usr\/lib\/cni, not in \/opt\/cni\/bin: install Sallyport's plugin there: --set cni\.binPath=\/usr\/lib\/cni/],
    ['a missing CNI plugin', { missingPlugins: [{ plugin: 'portmap', folders: ['/usr/lib/cni', '/opt/cni/bin'], node: 'n1' }] }, chained, /^warning pods did not start on n1, because .* CNI plugin portmap/],
    ['no kube-proxy, and agents that would reach the API server by a Service', {}, { ...standalone, servicesByStack: false }, /^warning Sallyport handles Services, .*its own agents.*--set k8sServiceHost=ADDRESS/],
    ['a node inside the range of Services', { nodes: [{ ...node('inside', 2), addresses: ['10.100.0.5'] }] }, standalone, /^problem node inside .*stackCIDRs/],
  ] as const) // biome-ignore format: a table
    test(name, () => {
      const [first = '', ...more] = complaints(facts, planned)
      assert.match(first, expected)
      assert.deepEqual(more, [])
    })

  test('no node inside a range from which pods have addresses, too', () => {
    const nodes = [{ ...node('cloud', 2), addresses: ['10.0.1.10'], podCIDRs: [] }]
    const pods = [{ name: 'default/web', ips: ['10.0.1.77' as Address] }]
    const planned = { ...chained, stackCIDRs: ['10.96.0.0/12', '10.0.1.0/24'] as Prefix[] }
    assert.deepEqual(complaints({ nodes, pods, daemonSets: ['kube-system/aws-node'] }, planned), [])
  })

  test('no missing pod CIDRs in chained mode, where the other plugin assigns addresses', () => {
    const nodes = [{ ...node('bare', 2), podCIDRs: [] }]
    assert.deepEqual(complaints({ nodes, pods: [], daemonSets: ['kube-system/kindnet'] }, chained), [])
  })

  test('three things to change in a cluster with Cilium', () => {
    const [gateway = '', others = '', port = ''] = complaints({ daemonSets: ['kube-system/cilium'] }, chained)
    assert.match(gateway, /^warning Cilium.*disable its egress gateway/)
    assert.match(others, /^warning Cilium disables other CNI plugins: .*cni\.exclusive=false/)
    assert.match(port, /^problem Cilium uses UDP port 8472/)
  })

  test('no missing loopback plugin, because the agent installs one', () => {
    const missing = missingPluginIn(
      'Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup network for sandbox "a": failed to find plugin "loopback" in path [/usr/lib/cni /opt/cni/bin]',
      'n1',
    )
    assert.deepEqual(missing, { plugin: 'loopback', folders: ['/usr/lib/cni', '/opt/cni/bin'], node: 'n1' })
    assert.deepEqual(complaints({ missingPlugins: [missing ?? assert.fail()] }, chained), [])
  })

  test('the range of Services that an older API server names when it refuses an address', () => {
    const message =
      'spec.clusterIPs: Invalid value: ["192.0.2.1"]: failed to allocate IP 192.0.2.1: the provided IP (192.0.2.1) is not in the valid range. The range of valid IPs is 10.96.0.0/12'
    assert.deepEqual(rangesIn(message), ['10.96.0.0/12'])
  })

  test('no problem with a definition of another product', () => {
    const findings = judgeCluster({ ...suitable, foreignDefinitions: ['x.cilium.io'] }, standalone)
    assert.ok(
      findings.some(
        ({ level, what }) => level === 'fine' && what.startsWith('x.cilium.io belongs to another'),
      ),
    )
  })
})
