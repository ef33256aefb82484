import assert from 'node:assert/strict'
import { test } from 'node:test'
import { trimEndpoints, trimService } from './observe-services.ts'

const metadata = { name: 'outpost', namespace: 'default' }
const ports = [{ port: 80, protocol: 'TCP', targetPort: 8000 }]
const spec = { clusterIP: '10.96.0.7', clusterIPs: ['10.96.0.7', 'fd00:96::7'], ports }
const trimmed = {
  namespace: 'default',
  name: 'outpost',
  addresses: ['10.96.0.7', 'fd00:96::7'],
  ports: [{ name: '', port: 80, protocol: 'TCP' }],
  byClient: false,
}

test('a Service without a selector counts, with all its cluster IPs', () => {
  assert.deepEqual(trimService({ metadata, spec }), trimmed)
  assert.deepEqual(trimService({ metadata, spec: { ...spec, sessionAffinity: 'ClientIP' } }), {
    ...trimmed,
    byClient: true,
  })
})

test('a Service with a selector, a headless one and a name for another host do not count', () => {
  assert.equal(trimService({ metadata, spec: { ...spec, selector: { app: 'outpost' } } }), undefined)
  assert.equal(trimService({ metadata, spec: { clusterIP: 'None', clusterIPs: ['None'], ports } }), undefined)
  assert.equal(trimService({ metadata, spec: { type: 'ExternalName' } }), undefined)
})

test('endpoints count unless they say that they are not ready', () => {
  const labels = { 'kubernetes.io/service-name': 'outpost' }
  const slice = {
    metadata: { ...metadata, labels },
    ports: [{ name: 'http', port: 8000 }],
    endpoints: [
      { addresses: ['203.0.113.9'] },
      { addresses: ['203.0.113.10'], conditions: { ready: false } },
      { addresses: ['203.0.113.11', 'no address'], conditions: { ready: true } },
    ],
  }
  assert.deepEqual(trimEndpoints(slice), {
    namespace: 'default',
    service: 'outpost',
    ports: [{ name: 'http', port: 8000, protocol: 'TCP' }],
    addresses: ['203.0.113.9', '203.0.113.11'],
  })
  assert.equal(trimEndpoints({ ...slice, metadata }), undefined)
})
