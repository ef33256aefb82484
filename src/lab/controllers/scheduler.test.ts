import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { place } from './scheduler.ts'
import type { NodeObject, PodObject, Taint } from './workload.ts'

const node = (
  name: string,
  { isReady = true, taints = [] as Taint[], labels = {}, unschedulable = false } = {},
): NodeObject => ({
  metadata: { name, labels },
  spec: { taints, unschedulable },
  status: { conditions: [{ type: 'Ready', status: isReady ? 'True' : 'False' }] },
})

const pod = (spec: PodObject['spec'] = {}, owner?: string): PodObject => ({
  metadata: { name: 'pod', ...(owner === undefined ? {} : { ownerReferences: [{ uid: owner }] }) },
  spec,
})

const gateway = { key: 'egress-gw', effect: 'NoSchedule' }
const [a, b] = [node('a'), node('b')]

describe('where a pod goes', () => {
  const cases = [
    { name: 'to the last of equals', pod: pod(), nodes: [a, b], pods: [], expect: 'b' },
    {
      name: 'to the one with fewer pods',
      pod: pod(),
      nodes: [a, b],
      pods: [pod({ nodeName: 'b' })],
      expect: 'a',
    },
    {
      name: 'pods in a node’s network do not count',
      pod: pod(),
      nodes: [a, b],
      pods: [pod({ nodeName: 'b', hostNetwork: true })],
      expect: 'b',
    },
    {
      name: 'not where a taint is',
      pod: pod(),
      nodes: [a, node('b', { taints: [gateway] })],
      pods: [],
      expect: 'a',
    },
    {
      name: 'where it tolerates the taint',
      pod: pod({ tolerations: [{ key: 'egress-gw', operator: 'Exists' }] }),
      nodes: [a, node('b', { taints: [gateway] })],
      pods: [],
      expect: 'b',
    },
    {
      name: 'a wish of a taint does not bind',
      pod: pod(),
      nodes: [node('b', { taints: [{ key: 'x', effect: 'PreferNoSchedule' }] })],
      pods: [],
      expect: 'b',
    },
    {
      name: 'not to a cordoned node',
      pod: pod(),
      nodes: [a, node('b', { unschedulable: true })],
      pods: [],
      expect: 'a',
    },
    {
      name: 'not to one that is not ready',
      pod: pod(),
      nodes: [a, node('b', { isReady: false })],
      pods: [],
      expect: 'a',
    },
    {
      name: 'in the node’s network also before that is ready',
      pod: pod({ hostNetwork: true }),
      nodes: [node('a', { isReady: false })],
      pods: [],
      expect: 'a',
    },
    {
      name: 'replicas in the node’s network are spread',
      pod: pod({ hostNetwork: true }, 'operator'),
      nodes: [a, b],
      pods: [
        pod({ hostNetwork: true, nodeName: 'b' }, 'operator'),
        pod({ hostNetwork: true, nodeName: 'a' }, 'agent'),
      ],
      expect: 'a',
    },
    {
      name: 'where its selector says',
      pod: pod({ nodeSelector: { disk: 'fast' } }),
      nodes: [node('a', { labels: { disk: 'fast' } }), b],
      pods: [],
      expect: 'a',
    },
  ]
  for (const { name, pod: wanted, nodes, pods, expect } of cases)
    test(name, () => assert.deepEqual(place(wanted, nodes, pods), { kind: 'node', name: expect }))

  test('nowhere, with each reason counted', () => {
    const nodes = [
      node('a', { taints: [gateway] }),
      node('b', { taints: [gateway] }),
      node('c', { isReady: false }),
    ]
    assert.deepEqual(place(pod(), nodes, []), {
      kind: 'none',
      message:
        '0/3 nodes are available: 2 node(s) had untolerated taint {egress-gw: }, 1 node(s) were not ready.',
    })
  })
})
