import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { KubeClient } from '../../kube/client.ts'
import { renewedCredential } from './renewed-credential.ts'

/** A plugin whose answers are numbered and live for a second, at a time that a test sets. */
function plugin() {
  const state = { nowMs: 0, asked: 0 }
  const credential = renewedCredential(
    async () => {
      state.asked++
      const name = String(state.asked)
      return { token: name, clientCertificate: { cert: name, key: name }, expiresMs: state.nowMs + 1_000 }
    },
    () => state.nowMs,
  )
  return { state, credential }
}

test('a plugin runs again only when its credential has expired', async () => {
  const { state, credential } = plugin()
  assert.equal(await credential.token(), '1')
  state.nowMs = 1_000
  assert.equal(await credential.token(), '1')
  state.nowMs = 1_001
  assert.equal(await credential.token(), '2')
  assert.equal(credential.clientCertificate?.cert, '2')
})

test('simultaneous requests run the plugin once', async () => {
  const { state, credential } = plugin()
  await Promise.all([credential.token(), credential.token(), credential.token()])
  assert.equal(state.asked, 1)
})

test('a token that another request has already renewed is not renewed again', async () => {
  const { state, credential } = plugin()
  const token = await credential.token()
  await Promise.all([credential.renew?.(token), credential.renew?.(token)])
  await credential.renew?.(token)
  assert.equal(state.asked, 2)
})

test('a request that the server refuses is repeated once with a renewed credential', async () => {
  const seen: string[] = []
  let good = 'Bearer 2'
  const server = createServer(({ headers }, response) => {
    seen.push(headers.authorization ?? '')
    response.writeHead(headers.authorization === good ? 200 : 401).end('{}')
  }).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.on('listening', resolve))
  const { port } = server.address() as AddressInfo
  const { credential } = plugin()
  const access = Object.defineProperties(
    { server: `http://127.0.0.1:${port}` },
    Object.getOwnPropertyDescriptors(credential),
  )
  try {
    await using client = new KubeClient(access as never, { userAgent: 'test' })
    await client.json({ method: 'GET', path: '/api' })
    assert.deepEqual(seen, ['Bearer 1', 'Bearer 2'])
    good = 'none is good any more'
    await assert.rejects(client.json({ method: 'GET', path: '/api' }), { code: 401 })
    assert.deepEqual(seen.slice(2), ['Bearer 2', 'Bearer 3'])
  } finally {
    server.close()
    server.closeAllConnections()
  }
})
