import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { AgentStatus } from '../agent/api/local-api.ts'
import { type Address, parseAddress } from '../net/address.ts'
import { formatColumns } from './columns.ts'
import { formatAgentStatus } from './status/agent-status.ts'

const status: AgentStatus = {
  version: '0.1.0',
  node: 'kind-worker3',
  isReady: true,
  startedAt: '2026-01-01T00:00:00Z',
  kernel: '6.18.0',
  devices: [
    {
      name: 'eth0',
      addresses: ['172.18.0.4', 'fc00::4'].map((text) => parseAddress(text) as Address),
      isDirectRouting: true,
    },
    { name: 'net0', addresses: [parseAddress('172.18.0.42') as Address], isDirectRouting: false },
  ],
  podCIDRs: ['10.244.4.0/24'],
  masquerading: { ipv4: true, ipv6: false },
  slot: 3,
  tunnel: { device: 'sallyport', port: 8472, mtu: 1450 },
  counts: { pods: 2, policies: 1, nodes: 5, mappings: 7 },
  verdicts: [{ program: 'from_pod', verdict: 'DROP_NO_GATEWAY', packets: 4, bytes: 240 }],
  drops: [
    { verdict: 'DROP_NO_GATEWAY', reason: 'No egress gateway found', remedy: 'label a node', packets: 4 },
  ],
  problems: [],
}

test('the status of an agent has the lines of cilium status', () => {
  const text = formatAgentStatus(status, {
    'kube-proxy-replacement': 'strict',
    'enable-ipv4-egress-gateway': 'true',
  })
  assert.match(
    text,
    /KubeProxyReplacement: .*\[eth0 {4}172\.18\.0\.4 fc00::4 \(Direct Routing\), net0 {4}172\.18\.0\.42\]/,
  )
  assert.match(
    text,
    /Masquerading: +BPF {3}\[eth0, net0\] {3}10\.244\.4\.0\/24 \[IPv4: Enabled, IPv6: Disabled\]/,
  )
  assert.match(text, /Packets dropped: +4 since/)
  assert.match(text, /- 4 No egress gateway found \(DROP_NO_GATEWAY\): label a node$/)
})

test('the status of an agent says whether it replaces kube-proxy', () => {
  const lineWith = (config: Readonly<Record<string, string>>): string =>
    /^KubeProxyReplacement: +(.*)$/m.exec(formatAgentStatus(status, config))?.[1] ?? ''
  for (const asked of ['strict', 'true'])
    assert.match(lineWith({ 'kube-proxy-replacement': asked }), /^Strict {3}\[eth0 .*\(Direct Routing\).*\]$/)
  assert.match(lineWith({ 'kube-proxy-replacement': 'false' }), /^False {3}\[[^\]]*\]$/)
  const chained = { 'kube-proxy-replacement': 'strict', 'cni-chaining-mode': 'generic-veth' }
  assert.match(lineWith(chained), /^False {3}\[[^\]]*\]$/)
})

test('the status of an agent ends with its problems', () => {
  assert.match(
    formatAgentStatus({ ...status, drops: [], problems: ['the API server does not answer'] }, {}),
    /Health: +problems, listed below\n {2}! the API server does not answer/,
  )
})

test('columns are as wide as their widest cell, with three spaces between them', () => {
  assert.equal(
    formatColumns([
      ['Source IP', 'Destination CIDR', 'Egress IP', 'Gateway IP'],
      ['10.244.1.254', '172.18.0.0/16', '172.18.0.42', '172.18.0.4'],
    ]),
    'Source IP      Destination CIDR   Egress IP     Gateway IP\n10.244.1.254   172.18.0.0/16      172.18.0.42   172.18.0.4',
  )
})
