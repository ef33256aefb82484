import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { ciliumPolicy, isovalentPolicy, node, world } from '../../../../test/support/world-builder.ts'
import { explainPolicies } from '../status.ts'

function remarks(spec: object, isWithGroups = false): string | undefined {
  const policies = isWithGroups
    ? { isovalentPolicies: [isovalentPolicy('p', spec)] }
    : { ciliumPolicies: [ciliumPolicy('p', spec)] }
  const [status] = explainPolicies(
    world({ ...policies, nodes: [...world().nodes, node('more', { podCIDRs: ['10.244.9.0/24'] })] }),
  )
  return status?.conditions.find(({ type }) => type === 'LikelyMistake')?.message
}

describe('the condition LikelyMistake of a policy', () => {
  const cases: readonly { says: string; spec: object; hasGroups?: boolean; expect: string | undefined }[] = [
    {
      says: 'nothing of prefixes as they should be',
      spec: { destinationCIDRs: ['0.0.0.0/0', '192.0.2.1/32'], excludedCIDRs: ['10.0.0.0/8'] },
      expect: undefined,
    },
    {
      says: 'what a prefix with host bits means',
      spec: { destinationCIDRs: ['10.1.2.3/8', 'fd00::1/64'] },
      expect:
        'destinationCIDRs[0] 10.1.2.3/8 means 10.0.0.0/8. Write 10.0.0.0/8, or the address with /32. destinationCIDRs[1] fd00::1/64 means fd00::/64. Write fd00::/64, or the address with /128.',
    },
    {
      says: 'where the addresses of a pool with host bits begin',
      spec: { egressCIDRs: ['172.30.0.130/28'], egressGroups: [{ nodeSelector: {} }] },
      hasGroups: true,
      expect:
        'egressCIDRs[0] 172.30.0.130/28 means 172.30.0.128/28, and the first address given is 172.30.0.129. Write 172.30.0.128/28, or the address with /32.',
    },
    {
      says: 'that a prefix is there twice',
      spec: { destinationCIDRs: ['192.0.2.0/24', '198.51.100.0/24', '192.0.2.0/24'] },
      expect: 'destinationCIDRs[2] repeats destinationCIDRs[0] 192.0.2.0/24. Remove one of them.',
    },
    {
      says: 'that an exclusion excludes nothing',
      spec: { destinationCIDRs: ['192.0.2.0/24'], excludedCIDRs: ['192.0.2.9/32', '10.0.0.0/8'] },
      expect: 'excludedCIDRs[1] 10.0.0.0/8 is outside destinationCIDRs and excludes nothing. Remove it.',
    },
    {
      says: 'that no object can have a label, in whichever selector it is',
      spec: {
        selectors: [
          { podSelector: { matchLabels: { app: 'x' } } },
          { namespaceSelector: { matchExpressions: [{ key: 'not ok!', operator: 'Exists' }] } },
          { podSelector: { matchLabels: { 'io.kubernetes.pod.namespace': 'a', team: 'not ok!' } } },
        ],
      },
      expect:
        'selectors[1].namespaceSelector has the label key "not ok!", which no object can have. Correct it. selectors[2].podSelector has the label value "not ok!", which no object can have. Correct it.',
    },
    {
      says: 'nothing of keys that name the source of a label',
      spec: { selectors: [{ podSelector: { matchLabels: { 'k8s:app': 'x', 'any:a.b/c': '' } } }] },
      expect: undefined,
    },
    {
      says: 'which key is likely meant where no pod, namespace or node has it',
      spec: {
        selectors: [
          {
            podSelector: {
              matchLabels: {
                'reserved:host': '',
                'container:x': 'y',
                'k8s:io.cilium.k8s.policy.cluster': 'a',
              },
              matchExpressions: [
                { key: 'io.cilium.k8s.policy.serviceAccount', operator: 'Exists' },
                { key: 'io.cilium.k8s.namespace.label.team', operator: 'In', values: ['a'] },
                { key: 'kubernetes.io/metadata.name', operator: 'Exists' },
                { key: 'io.kubernetes.pod.name', operator: 'Exists' },
                { key: 'topology.kubernetes.io/zone', operator: 'Exists' },
              ],
            },
            namespaceSelector: {
              matchLabels: {
                'io.kubernetes.pod.namespace': 'a',
                'k8s:io.cilium.k8s.namespace.labels.team': 'b',
              },
            },
          },
        ],
        egressGateway: { nodeSelector: { matchLabels: { 'node:egress-gw': 'true' } } },
      },
      expect: [
        'selectors[0].podSelector has the key "reserved:host", which no pod has. A policy selects only pods, and no host-network pods. Remove it.',
        'selectors[0].podSelector has the key "container:x", which no pod has. Write x.',
        'selectors[0].podSelector has the key "k8s:io.cilium.k8s.policy.cluster", which no pod has. Sallyport knows no cluster names. Remove it.',
        'selectors[0].podSelector has the key "io.cilium.k8s.policy.serviceAccount", which no pod has. Write io.cilium.k8s.policy.serviceaccount.',
        'selectors[0].podSelector has the key "io.cilium.k8s.namespace.label.team", which no pod has. Write io.cilium.k8s.namespace.labels.team.',
        'selectors[0].podSelector has the key "kubernetes.io/metadata.name", which no pod has. Write io.kubernetes.pod.namespace.',
        'selectors[0].podSelector has the key "io.kubernetes.pod.name", which no pod has. Write io.kubernetes.pod.namespace.',
        'selectors[0].podSelector has the key "topology.kubernetes.io/zone", which no pod has. Nodes have it: move it to nodeSelector.',
        'selectors[0].namespaceSelector has the key "io.kubernetes.pod.namespace", which no namespace has. Write kubernetes.io/metadata.name.',
        'selectors[0].namespaceSelector has the key "k8s:io.cilium.k8s.namespace.labels.team", which no namespace has. Write team.',
        'egressGateway.nodeSelector has the key "node:egress-gw", which no node has. Write egress-gw.',
      ].join(' '),
    },
    {
      says: 'nothing of a key that must be absent, or that Cilium knows',
      spec: {
        selectors: [
          {
            podSelector: {
              matchLabels: {
                'k8s:io.kubernetes.pod.namespace': 'a',
                'io.cilium.k8s.namespace.labels.team': 'b',
                'any:io.cilium.k8s.policy.serviceaccount': 'c',
              },
              matchExpressions: [{ key: 'reserved:host', operator: 'DoesNotExist' }],
            },
          },
        ],
      },
      expect: undefined,
    },
    {
      says: 'that egressGateway is ignored beside egressGateways',
      spec: {
        egressGateway: { nodeSelector: {}, interface: 'net0' },
        egressGateways: [{ nodeSelector: {}, interface: 'net1' }],
      },
      expect:
        'egressGateway is ignored, because egressGateways has entries. To use it as well, add it to egressGateways. Otherwise make it a copy of egressGateways[0].',
    },
    {
      says: 'nothing of an egressGateway that is a copy of an entry of egressGateways',
      spec: {
        egressGateway: { nodeSelector: {}, interface: 'net1' },
        egressGateways: [
          { nodeSelector: {}, interface: 'net0' },
          { interface: 'net1', nodeSelector: {} },
        ],
      },
      expect: undefined,
    },
  ]
  for (const { says, spec, hasGroups, expect } of cases)
    test(`says ${says}`, () => assert.equal(remarks(spec, hasGroups), expect))

  test('is left out while the policy is invalid, because the error comes first', () =>
    assert.equal(remarks({ destinationCIDRs: ['10.1.2.3/8', 'all'] }), undefined))
})
