import assert from 'node:assert/strict'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { type LocalApi, serveHealth } from './serve.ts'

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
