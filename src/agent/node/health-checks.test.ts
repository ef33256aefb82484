import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { createServer, get } from '../../runtime/http.ts'
import { HealthChecks } from './health-checks.ts'

const check = (localEndpoints: number) => ({ namespace: 'default', name: 'web', localEndpoints })

/** Undefined if no process listens at the port. */
function ask(port: number): Promise<{ readonly status: number; readonly body: string } | undefined> {
  return new Promise((resolve) => {
    get({ host: '127.0.0.1', port, agent: false }, (response) => {
      let body = ''
      response.on('data', (chunk: Buffer) => {
        body += String(chunk)
      })
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }))
    }).on('error', () => resolve(undefined))
  })
}

async function occupied() {
  const server = createServer().listen(0)
  await once(server, 'listening')
  return { port: (server.address() as AddressInfo).port, server }
}

test('a node with an endpoint says 200 and how many, one without says 503, and a port that no Service has is closed', async () => {
  const { port, server } = await occupied()
  server.close()
  await once(server, 'close')
  const checks = new HealthChecks()
  assert.deepEqual(await checks.apply(new Map([[port, check(2)]])), [])
  const found = await ask(port)
  assert.equal(found?.status, 200)
  assert.deepEqual(JSON.parse(found.body), {
    service: { namespace: 'default', name: 'web' },
    localEndpoints: 2,
    serviceProxyHealthy: true,
  })
  await checks.apply(new Map([[port, check(0)]]))
  assert.equal((await ask(port))?.status, 503)
  await checks.apply(new Map())
  assert.equal(await ask(port), undefined)
})

test('a port that another process has is a problem that names the Service, and the other ports are opened', async () => {
  const { port, server } = await occupied()
  const other = await occupied()
  other.server.close()
  await once(other.server, 'close')
  const checks = new HealthChecks()
  const wanted = new Map([
    [port, check(1)],
    [other.port, check(1)],
  ])
  const [problem = '', ...more] = await checks.apply(wanted)
  assert.match(problem, new RegExp(`healthCheckNodePort ${port} of Service default/web cannot be opened`))
  assert.equal(more.length, 0)
  assert.equal((await ask(other.port))?.status, 200)
  checks.close()
  server.close()
})
