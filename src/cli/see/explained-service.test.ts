import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import { serverUnderTest } from '../../../test/support/server-under-test.ts'
import type { Explanation, ServiceStory } from '../../agent/api/explain/explanation.ts'
import type { KubeObject } from '../../kube/client.ts'
import { coreResource } from '../../kube/cluster-objects.ts'
import { parseAddress } from '../../net/address.ts'
import { explain } from './explain.ts'
import { findService, parseService, storyOfOthers } from './explained-service.ts'
import { formatExplanation } from './explanation-text.ts'

const { client } = await serverUnderTest()

const address = (text: string) => {
  const parsed = parseAddress(text)
  assert.ok(parsed !== undefined)
  return parsed
}

before(async () => {
  const slices = { group: 'discovery.k8s.io', version: 'v1', plural: 'endpointslices', isNamespaced: true }
  await client.resource<KubeObject>(coreResource('namespaces', false)).create({
    ...{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } },
  } as KubeObject)
  await client.resource<KubeObject>(coreResource('nodes', false)).create({
    ...{ apiVersion: 'v1', kind: 'Node', metadata: { name: 'worker' } },
    status: { addresses: [{ type: 'InternalIP', address: '172.18.0.2' }] },
  } as KubeObject)
  await client.resource<KubeObject>(coreResource('services', true)).create({
    ...{ apiVersion: 'v1', kind: 'Service', metadata: { name: 'partner', namespace: 'shop' } },
    spec: {
      ...{ type: 'NodePort', clusterIP: '10.96.0.7', externalIPs: ['203.0.113.77'] },
      ports: [
        { name: 'http', port: 80, nodePort: 30080, protocol: 'TCP' },
        { name: 'dns', port: 53, protocol: 'UDP' },
      ],
    },
  } as KubeObject)
  await client.resource<KubeObject>(slices).create({
    ...{ apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', addressType: 'IPv4' },
    metadata: {
      ...{ name: 'partner-1', namespace: 'shop', labels: { 'kubernetes.io/service-name': 'partner' } },
    },
    endpoints: [
      { addresses: ['198.51.100.9'], conditions: { ready: false } },
      { addresses: ['198.51.100.7'], conditions: { ready: true } },
    ],
    ports: [{ name: 'http', port: 8443, protocol: 'TCP' }],
  } as KubeObject)
})

test('a Service is named with or without namespace and port', () => {
  const of = (text: string) => parseService(text, 'shop')
  assert.deepEqual(of('service/web'), { namespace: 'shop', name: 'web', port: undefined })
  assert.deepEqual(of('svc/web:80'), { namespace: 'shop', name: 'web', port: '80' })
  assert.deepEqual(of('service/other/web:http'), { namespace: 'other', name: 'web', port: 'http' })
  for (const text of ['192.0.2.7:443', '[2001:db8::7]:443', 'service/', 'service/a/b/c', 'web:80'])
    assert.equal(of(text), undefined, text)
})

test('the name of a Service leads to its cluster IP, its port and the protocol of the port', async () => {
  const find = (text: string) => findService(client, parseService(text, 'shop') ?? assert.fail(text))
  assert.deepEqual(await find('service/partner:http'), { to: '10.96.0.7', port: 80, protocol: 'tcp' })
  assert.deepEqual(await find('service/shop/partner:53'), { to: '10.96.0.7', port: 53, protocol: 'udp' })
  await assert.rejects(find('service/partner'), /several ports: add one of them to --to: 80 \(http\), 53/)
  await assert.rejects(find('service/partner:81'), /has no port 81: it has 80/)
  await assert.rejects(find('service/default/partner:80'), /there is no Service default\/partner/)
})

const said = (to: string, port: number, verdict: string): Explanation => ({
  isHypothetical: false,
  pod: { namespace: 'shop', name: 'web', node: 'worker', labels: {} },
  flow: { source: address('10.244.1.7'), destination: address(to), port, protocol: 'tcp' },
  servicesBy: 'kube-proxy',
  ...{ policies: [], rules: [], gateways: [], egressIps: [], agrees: true },
  networkPolicies: { mode: 'enforce', restrictedBy: [], problems: [] },
  decision: { verdicts: [verdict], egressIps: [] },
  program: { verdict },
})

test('explain names the kind of each address of a Service, and who translates it', async () => {
  const of = async (to: string, port: number, verdict = 'PASS_TO_STACK') => {
    const story = await storyOfOthers(client, said(to, port, verdict))
    return story === undefined ? undefined : [story.service, story.kind, story.translatedBy]
  }
  assert.deepEqual(await of('10.96.0.7', 80), ['shop/partner', 'ClusterIP', 'kube-proxy'])
  assert.deepEqual(await of('172.18.0.2', 30080), ['shop/partner', 'NodePort', 'kube-proxy'])
  assert.deepEqual(await of('203.0.113.77', 80), ['shop/partner', 'ExternalIPs', 'kube-proxy'])
  assert.deepEqual(await of('203.0.113.77', 80, 'SENT_TO_HOLDER'), ['shop/partner', 'ExternalIPs', 'none'])
  assert.equal(await of('172.18.0.2', 80), undefined)
  assert.equal(await of('10.96.0.7', 30080), undefined)
  assert.equal(await of('198.51.100.7', 8443), undefined)
})

test('beside kube-proxy, explain goes on with an endpoint outside the cluster', async () => {
  const asked: unknown[] = []
  const agent = {
    node: 'worker',
    ask: async <T>(_path: string, body?: { readonly to: string; readonly port: number }): Promise<T> => {
      asked.push(body)
      const isService = body?.to === '10.96.0.7'
      return said(body?.to ?? '', body?.port ?? 0, isService ? 'PASS_TO_STACK' : 'DROP_NO_GATEWAY') as T
    },
    follow: () => assert.fail('not followed'),
  }
  const request = { namespace: 'shop', pod: 'web', to: '10.96.0.7', port: 80, protocol: 'tcp' } as const
  const found = await explain([agent], 'worker', request, client)
  assert.deepEqual(asked, [request, { ...request, to: '198.51.100.7', port: 8443 }])
  assert.equal(found.afterService?.program.verdict, 'DROP_NO_GATEWAY')
  const text = formatExplanation(found)
  for (const line of [
    '  10.96.0.7:80 is a cluster IP of Service shop/partner.',
    '  Endpoints for this flow (1): 198.51.100.7:8443',
    'If kube-proxy chooses 198.51.100.7:8443, the stack sends the packet on, and the policies apply to that address:',
  ])
    assert.ok(text.split('\n').includes(line), `${line} is not in:\n${text}`)
})

test('explain names the endpoint of this flow for a Service that Sallyport translates', () => {
  const [chosen, other] = [address('203.0.113.9'), address('203.0.113.10')]
  const service: ServiceStory = {
    ...{
      service: 'shop/partner',
      kind: 'ClusterIP',
      address: '10.96.0.7',
      port: 80,
      translatedBy: 'Sallyport',
    },
    ...{
      eligible: [{ address: chosen, port: 443 }],
      eligibleCount: 1,
      others: [{ address: other, port: 443 }],
    },
    ...{ affinitySeconds: 60, endpoint: { address: chosen, port: 443 } },
    kind: 'ClusterIP',
    translatedBy: 'Sallyport',
  }
  const text = formatExplanation({ ...said('10.96.0.7', 80, 'SENT_TO_HOLDER'), service })
  for (const line of [
    '  10.96.0.7:80 is a cluster IP of Service shop/partner.',
    "  Sallyport's programs translate it on node worker.",
    '  Endpoints for this flow (1): 203.0.113.9:443',
    '  Not for this flow: 203.0.113.10:443',
    '  ✓ This flow gets 203.0.113.9:443. What follows is about that address.',
  ])
    assert.ok(text.split('\n').includes(line), `${line} is not in:\n${text}`)
})
