import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { KubeClient, type KubeObject } from './client.ts'
import { coreResource } from './cluster-objects.ts'
import { keepAliveMs } from './keep-alive.ts'

/** In how many ms the kernel sends its first probe on an idle connection to that port of 127.0.0.1; undefined where it never does. */
function nextProbeMs(port: number): number | undefined {
  const remote = `0100007F:${port.toString(16).toUpperCase().padStart(4, '0')}`
  const line = readFileSync('/proc/self/net/tcp', 'utf8')
    .split('\n')
    .map((each) => each.trim().split(/\s+/))
    .find((fields) => fields[2] === remote)
  const [timer, jiffies = '0'] = line?.[5]?.split(':') ?? []
  const keepAliveTimer = '02'
  return timer === keepAliveTimer ? Number.parseInt(jiffies, 16) * 10 : undefined
}

test('the kernel probes a connection to the API server that has been silent for half a minute', async () => {
  const server = createServer((_, response) => response.end('{"metadata":{},"items":[]}'))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await using client = new KubeClient(
    { server: `http://127.0.0.1:${port}`, token: () => 'token' },
    { userAgent: 'test' },
  )
  await client.resource<KubeObject>(coreResource('pods', true)).list()
  const ms = nextProbeMs(port)
  server.close()
  server.closeAllConnections()
  assert.ok(ms !== undefined, 'no keep-alive timer runs')
  assert.ok(ms <= keepAliveMs && ms > keepAliveMs - 5_000, `the first probe is due in ${ms} ms`)
})
