import assert from 'node:assert/strict'
import { test } from 'node:test'
import { blockOfPort, usableBlocks } from '../../net/ports.ts'
import { parsePrefix } from '../../net/prefix.ts'
import { configMapData, parseConfiguration } from '../configuration.ts'
import { assignmentsIn, parseAssignments } from './assignments.ts'
import { parseDuration } from './duration.ts'
import { settings } from './settings.ts'

const parseSets = (sets: readonly string[]) => parseAssignments(assignmentsIn(sets))

test('the five settings of the walkthrough are accepted', () => {
  const parsed = parseSets([
    'kubeProxyReplacement=strict',
    'egressGateway.enabled=true',
    'bpf.masquerade=true',
    'l7Proxy=false',
    'devices={eth+,net+}',
  ])
  assert.ok(parsed.ok)
  const configuration = parseConfiguration(configMapData(parsed.value))
  assert.ok(configuration.ok)
  assert.deepEqual(configuration.value.devices, ['eth+', 'net+'])
  assert.equal(parsed.value['kube-proxy-replacement'], 'strict')
})

test('only cni.chainingMode=generic-veth means chained mode', () => {
  for (const [mode, isChained] of [
    ['none', false],
    ['generic-veth', true],
  ] as const) {
    const parsed = parseSets([`cni.chainingMode=${mode}`])
    assert.ok(parsed.ok)
    const configuration = parseConfiguration(configMapData(parsed.value))
    assert.equal(configuration.ok && configuration.value.isChained, isChained)
  }
  assert.equal(parseSets(['cni.chainingMode=calico']).ok, false)
})

test('one --set has several settings, separated by commas outside braces', () => {
  const parsed = parseSets(['slots=256,devices={eth0,net0},mtu=1400'])
  assert.deepEqual(parsed, { ok: true, value: { slots: '256', devices: 'eth0,net0', mtu: '1400' } })
})

test('all mistakes in --set are named at once, each with the remedy', () => {
  const parsed = parseSets([
    'egressgateway.enable=true',
    'slots=100',
    'mtu',
    'tunnelProtocol=geneve',
    'stackCIDRs=10.96.0.0/33',
  ])
  assert.deepEqual(parsed, {
    ok: false,
    issues: [
      'unknown setting egressgateway.enable: did you mean egressGateway.enabled?',
      'slots: 100 is not a power of two',
      'mtu has no value: write mtu=…',
      'tunnelProtocol: geneve is not supported: use vxlan',
      'stackCIDRs: 10.96.0.0/33 is not a CIDR',
    ],
  })
})

test('the default of every setting is valid', () => {
  assert.equal(parseConfiguration(configMapData({})).ok, true)
  assert.equal(new Set(settings.map(({ key }) => key)).size, settings.length, 'no two settings share a key')
})

test('cni.binPath and cni.confPath accept absolute paths only', () => {
  for (const path of ['/home/kubernetes/bin', '/var/lib/rancher/k3s/agent/etc/cni/net.d'])
    assert.equal(parseSets([`cni.binPath=${path}`]).ok, true, path)
  for (const path of ['', '/', 'opt/cni/bin', '/opt/../bin', '/opt//bin', '/opt/bin/', '/opt/a b'])
    assert.equal(parseSets([`cni.confPath=${path}`]).ok, false, path)
})

test('the strings of the ConfigMap become typed values', () => {
  const configuration = parseConfiguration({
    'enable-ipv4-egress-gateway': 'false',
    'egress-ip-linger-time': '1m30s',
    'stack-cidrs': '10.96.0.0/12, fd00::/108',
    'tunnel-port': '8473',
    'of-another-version': 'is ignored',
  })
  assert.ok(configuration.ok)
  const { enableEgressGateway, egressIpLingerMs, stackCIDRs, tunnelPort, leaseIdleMs } = configuration.value
  assert.deepEqual([enableEgressGateway, egressIpLingerMs, tunnelPort], [false, 90_000, 8473])
  assert.deepEqual(stackCIDRs, [parsePrefix('10.96.0.0/12'), parsePrefix('fd00::/108')])
  assert.equal(leaseIdleMs, 600_000, 'a missing key has its default')
})

test('all mistakes in a ConfigMap are named at once, by key', () => {
  assert.deepEqual(
    parseConfiguration({
      mtu: '70000',
      'stack-cidrs': 'a,10.0.0.0/8,b',
      'port-lease-idle-time': '10',
      slots: '1e2',
    }),
    {
      ok: false,
      issues: [
        'port-lease-idle-time: 10 is not a duration: write, for example, 500ms, 1s or 2m',
        'mtu: 70000 is not a whole number from 0 to 65535',
        'slots: 1e2 is not a whole number from 16 to 2048',
        'stack-cidrs: a is not a CIDR',
        'stack-cidrs: b is not a CIDR',
      ],
    },
  )
})

test('parseDuration accepts durations in Go’s format only', () => {
  for (const [text, ms] of [
    ['1s', 1000],
    ['250ms', 250],
    ['1m30s', 90_000],
    ['0.5s', 500],
  ] as const)
    assert.equal(parseDuration(text), ms)
  for (const text of ['', '1', '1 s', 's', '1x']) assert.equal(parseDuration(text), undefined)
})

test('by default, connections get neither a NodePort nor the port that NICs with RoCE take', () => {
  const configuration = parseConfiguration(configMapData({}))
  assert.ok(configuration.ok)
  const usable = usableBlocks(configuration.value.ports)
  const has = (port: number): boolean => usable.has(blockOfPort(port))
  assert.deepEqual([4791, 30000, 32767].map(has), [false, false, false])
  assert.deepEqual([4783, 4800, 29999, 32768].map(has), [true, true, true, true])
})
