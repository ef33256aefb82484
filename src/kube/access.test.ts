import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inClusterAccess } from './access.ts'

const environment = { KUBERNETES_SERVICE_HOST: '10.96.0.1', KUBERNETES_SERVICE_PORT: '443' }

test('a process in a pod finds the API server by the Service kubernetes, or where the configuration says', () => {
  assert.equal(inClusterAccess(undefined, environment).server, 'https://10.96.0.1:443')
  const configured = { host: 'fd00::5', port: 6443 }
  assert.equal(inClusterAccess(configured, environment).server, 'https://[fd00::5]:6443')
  assert.equal(inClusterAccess(configured, {}).server, 'https://[fd00::5]:6443')
  assert.throws(() => inClusterAccess(undefined, {}), /KUBERNETES_SERVICE_HOST/)
})
