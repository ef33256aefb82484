import assert from 'node:assert/strict'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { cleanUpDaemonSet } from '../../install/agent-manifests.ts'
import { configMapData } from '../../install/configuration.ts'
import { type LocalApi, serveCleaned, serveHealth } from './serve.ts'

test('metrics and probes are answered at the address that was chosen, and nothing else is', async () => {
  const api = { isReady: () => true, metrics: async () => 'one 1\n' } as LocalApi
  const server = await serveHealth(0, '127.0.0.2', api)
  try {
    const { address, port } = server.address() as AddressInfo
    assert.equal(address, '127.0.0.2')
    const ask = (path: string): Promise<Response> => fetch(`http://${address}:${port}${path}`)
    assert.equal(await (await ask('/metrics')).text(), 'one 1\n')
    assert.equal((await ask('/readyz')).status, 204)
    assert.equal((await ask('/v1/status')).status, 404)
  } finally {
    server.close()
    server.closeAllConnections()
  }
})

test('an agent that still runs does not answer the probe of the clean-up', async () => {
  const manifest = cleanUpDaemonSet(configMapData({})) as unknown as {
    spec: { template: { spec: { containers: { readinessProbe: { httpGet: { path: string } } }[] } } }
  }
  const path = manifest.spec.template.spec.containers[0]?.readinessProbe.httpGet.path
  const agent = await serveHealth(0, '127.0.0.1', { isReady: () => true } as LocalApi)
  const cleanUp = await serveCleaned(0)
  try {
    const ask = async (server: typeof agent): Promise<number> =>
      (await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`)).status
    assert.equal(await ask(agent), 404)
    assert.equal(await ask(cleanUp), 204)
  } finally {
    for (const server of [agent, cleanUp]) {
      server.close()
      server.closeAllConnections()
    }
  }
})
