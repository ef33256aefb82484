import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  steadyList,
  trimEndpoints,
  trimOutsideService,
  trimService,
  watchedServices,
} from './observe-services.ts'

const metadata = { name: 'outpost', namespace: 'default' }
const ports = [{ port: 80, protocol: 'TCP', targetPort: 8000 }]
const spec = { clusterIP: '10.96.0.7', clusterIPs: ['10.96.0.7', 'fd00:96::7'], ports }
const trimmed = {
  namespace: 'default',
  name: 'outpost',
  addresses: ['10.96.0.7', 'fd00:96::7'],
  ports: [{ name: '', port: 80, protocol: 'TCP' }],
  affinityMs: 0,
  isLocal: false,
  isLocalForClients: false,
  sources: [],
  external: [],
}

test('a Service counts with all its cluster IPs', () => {
  assert.deepEqual(trimService({ metadata, spec }), trimmed)
  assert.deepEqual(trimService({ metadata, spec: { ...spec, internalTrafficPolicy: 'Local' } }), {
    ...trimmed,
    isLocal: true,
  })
})

test('session affinity lasts three hours, or as long as the Service says', () => {
  const affinityOf = (config: object): number | undefined =>
    trimService({ metadata, spec: { ...spec, sessionAffinity: 'ClientIP', ...config } })?.affinityMs
  assert.equal(affinityOf({}), 10_800_000)
  assert.equal(affinityOf({ sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } } }), 60_000)
})

test('external IPs count, and those of a load balancer that does not have to see the packets', () => {
  const externalOf = (more: object, ingress: readonly object[] = []) =>
    trimService({ metadata, spec: { ...spec, ...more }, status: { loadBalancer: { ingress } } })?.external
  assert.deepEqual(
    externalOf({ externalIPs: ['203.0.113.80'] }, [{ ip: '203.0.113.81' }, { hostname: 'lb' }]),
    [
      { address: '203.0.113.80', kind: 'ExternalIPs' },
      { address: '203.0.113.81', kind: 'LoadBalancer' },
    ],
  )
  assert.deepEqual(externalOf({}, [{ ip: '203.0.113.81', ipMode: 'Proxy' }]), [])
})

test('a Service says which clients outside it admits, where, and whether only endpoints of their node count', () => {
  const spoken = {
    ports: [{ port: 80, protocol: 'TCP', nodePort: 30080 }],
    externalTrafficPolicy: 'Local',
    healthCheckNodePort: 32000,
    loadBalancerSourceRanges: ['192.0.2.0/24', ' 198.51.100.0/24'],
  }
  assert.deepEqual(trimService({ metadata, spec: { ...spec, ...spoken } }), {
    ...trimmed,
    ports: [{ name: '', port: 80, protocol: 'TCP', nodePort: 30080 }],
    isLocalForClients: true,
    healthCheckPort: 32000,
    sources: ['192.0.2.0/24', '198.51.100.0/24'],
  })
})

test('a list is the same as long as its elements are', () => {
  const steady = steadyList<object>()
  const [one, other] = [{}, {}]
  const first = steady([one, other])
  assert.equal(steady([one, other]), first)
  assert.notEqual(steady([one]), first)
})

test('in chained mode, a Service with a selector does not count', () => {
  const selecting = { metadata, spec: { ...spec, selector: { app: 'outpost' } } }
  assert.equal(trimOutsideService(selecting), undefined)
  assert.deepEqual(trimOutsideService({ metadata, spec }), trimmed)
  assert.deepEqual(trimService(selecting), trimmed)
})

test('the agent watches Services only where it translates them', () => {
  assert.equal(watchedServices({ isChained: true, replacesKubeProxy: false }), 'outside')
  assert.equal(watchedServices({ isChained: false, replacesKubeProxy: true }), 'all')
  assert.equal(watchedServices({ isChained: false, replacesKubeProxy: false }), 'none')
})

test('a headless Service, one for another proxy and a name for another host do not count', () => {
  const labels = { 'service.kubernetes.io/service-proxy-name': 'other' }
  assert.equal(trimService({ metadata: { ...metadata, labels }, spec }), undefined)
  assert.equal(trimService({ metadata, spec: { clusterIP: 'None', clusterIPs: ['None'], ports } }), undefined)
  assert.equal(trimService({ metadata, spec: { type: 'ExternalName' } }), undefined)
})

test('endpoints count unless they say that they are not ready, or end without serving', () => {
  const labels = { 'kubernetes.io/service-name': 'outpost' }
  const slice = {
    metadata: { ...metadata, labels },
    ports: [{ name: 'http', port: 8000 }],
    endpoints: [
      { addresses: ['203.0.113.9'] },
      { addresses: ['203.0.113.10'], conditions: { ready: false } },
      { addresses: ['203.0.113.11', 'no address'], conditions: { ready: true }, nodeName: 'worker' },
      { addresses: ['203.0.113.12'], conditions: { ready: false, serving: true, terminating: true } },
      { addresses: ['203.0.113.13'], conditions: { ready: false, serving: false, terminating: true } },
    ],
  }
  assert.deepEqual(trimEndpoints(slice), {
    namespace: 'default',
    service: 'outpost',
    ports: [{ name: 'http', port: 8000, protocol: 'TCP' }],
    endpoints: [
      { address: '203.0.113.9', isEnding: false },
      { address: '203.0.113.11', isEnding: false, node: 'worker' },
      { address: '203.0.113.12', isEnding: true },
    ],
  })
  assert.equal(trimEndpoints({ ...slice, metadata }), undefined)
})

test('an endpoint says for which nodes and zones it is', () => {
  const hints = { forNodes: [{ name: 'worker' }], forZones: [{ name: 'west' }, { name: 'north' }] }
  const slice = {
    metadata: { ...metadata, labels: { 'kubernetes.io/service-name': 'outpost' } },
    endpoints: [{ addresses: ['203.0.113.9'], hints }],
  }
  assert.deepEqual(trimEndpoints(slice)?.endpoints, [
    { address: '203.0.113.9', isEnding: false, forNodes: ['worker'], forZones: ['west', 'north'] },
  ])
})
