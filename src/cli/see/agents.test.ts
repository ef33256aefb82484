import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { type WebSocket, WebSocketServer } from 'ws'
import { stringify } from 'yaml'
import { runCommand } from '../../../test/support/command-under-test.ts'
import { serverUnderTest } from '../../../test/support/server-under-test.ts'
import type { FlowRow } from '../../agent/api/flows/flow-row.ts'
import { type LocalApi, serveLocalApi } from '../../agent/api/serve.ts'
import type { KubeObject } from '../../kube/client.ts'
import { coreResource } from '../../kube/cluster-objects.ts'
import type { Address } from '../../net/address.ts'

/* A command on a laptop: it finds the agents' pods by the API server, and asks them by the command that it runs there. */
const { server, client } = await serverUnderTest()
const directory = mkdtempSync(join(tmpdir(), 'sallyport-cli-'))
const nodes = ['worker', 'worker2'] as const

const rowOf = (node: string): FlowRow => ({
  ...{ node, namespace: 'default', pod: `of-${node}`, egressIp: '172.18.0.42' as Address, connections: 1 },
  ...{ packetsOut: 1, packetsIn: 1, bytesOut: 60, bytesIn: 60 },
})
const agents = await Promise.all(
  nodes.map((node) => {
    const api: Partial<LocalApi> = {
      owner: () => ({ isEgressIp: true, node: 'worker2' }),
      async *flows() {
        yield rowOf(node)
      },
    }
    return serveLocalApi(join(directory, `${node}.sock`), api as LocalApi)
  }),
)

/** Runs the real command in the place of a container. */
const kubelet = createServer()
const sockets = new WebSocketServer({ server: kubelet, handleProtocols: () => 'v5.channel.k8s.io' })
sockets.on('connection', (socket, request) => void serve(socket, request))

async function serve(socket: WebSocket, request: IncomingMessage): Promise<void> {
  const url = new URL(request.url ?? '', 'http://kubelet')
  const node = url.pathname.split('/')[3]?.replace('agent-', '')
  const [program, ...words] = url.searchParams.getAll('command')
  assert.equal(program, 'sallyport')
  const environment = { SALLYPORT_SOCKET: join(directory, `${node}.sock`), HOME: directory }
  const { code, stdout, stderr } = await runCommand(words, environment)
  const send = (channel: number, text: string): void =>
    socket.send(Buffer.concat([Buffer.from([channel]), Buffer.from(text)]))
  send(1, stdout)
  send(2, stderr)
  send(3, JSON.stringify({ status: code === 0 ? 'Success' : 'Failure' }))
  socket.close(1000)
}
await new Promise<void>((resolve) => {
  kubelet.listen(0, '127.0.0.1', resolve)
})
after(() => {
  for (const each of [...agents, kubelet]) {
    each.close()
    each.closeAllConnections()
  }
  sockets.close()
  rmSync(directory, { recursive: true })
})

const Port = (kubelet.address() as AddressInfo).port
for (const name of nodes) {
  const status = {
    addresses: [{ type: 'InternalIP', address: '127.0.0.1' }],
    daemonEndpoints: { kubeletEndpoint: { Port } },
  }
  await client.resource(coreResource('nodes', false)).create({ metadata: { name } } as KubeObject)
  await client
    .resource(coreResource('nodes', false))
    .patch(name, 'merge', { status }, { subresource: 'status' })
  const pods = client.resource(coreResource('pods', true))
  const metadata = { name: `agent-${name}`, labels: { 'app.kubernetes.io/managed-by': 'sallyport' } }
  const spec = { nodeName: name, containers: [{ name: 'sallyport-agent', image: 'x' }] }
  await pods.create({ metadata, spec } as KubeObject, { namespace: 'kube-system' })
  const running = { status: { phase: 'Running' } }
  await pods.patch(metadata.name, 'merge', running, { namespace: 'kube-system', subresource: 'status' })
}

const kubeconfig = join(directory, 'kubeconfig')
const cluster = {
  server: server.url,
  'certificate-authority-data': Buffer.from(server.ca).toString('base64'),
}
writeFileSync(
  kubeconfig,
  stringify({
    clusters: [{ name: 'test', cluster }],
    users: [{ name: 'test', user: { token: server.adminToken } }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'test' } }],
    'current-context': 'test',
  }),
)
const run = (...words: string[]) => runCommand(words, { KUBECONFIG: kubeconfig, HOME: directory })

test('"flows" asks the agents of all nodes, and with --node the agent of that node', async () => {
  const all = await run('flows', '-o', 'json')
  assert.equal(all.stderr, '')
  const rows = all.stdout
    .trim()
    .split('\n')
    .map((line) => (JSON.parse(line) as FlowRow).node)
  assert.deepEqual(rows.sort(), ['worker', 'worker2'])
  const one = await run('flows', '--node', 'worker', '-o', 'json')
  assert.equal((JSON.parse(one.stdout) as FlowRow).node, 'worker')
  assert.match((await run('flows', '--node', 'none')).stderr, /no agent can be asked on node none/)
})

test('who asks the node that owns the port, and no other', async () => {
  const { stdout } = await run('who', '172.18.0.42:32863', '-o', 'json')
  assert.deepEqual(
    (JSON.parse(stdout) as FlowRow[]).map(({ node }) => node),
    ['worker2'],
  )
})

test('events shows what Sallyport wrote, the oldest first', async () => {
  const events = client.resource(coreResource('events', true))
  for (const [name, reason, time] of [
    ['later', 'GatewayHealthy', '2026-01-01T14:03:00Z'],
    ['first', 'GatewayUnhealthy', '2026-01-01T14:02:00Z'],
  ] as const) {
    const involvedObject = { apiVersion: 'cilium.io/v2', kind: 'CiliumEgressGatewayPolicy', name: 'outpost' }
    const event = {
      metadata: { name },
      involvedObject,
      type: 'Warning',
      reason,
      message: `${reason} it is`,
      lastTimestamp: time,
      reportingComponent: 'sallyport-operator',
    }
    await events.create(event as KubeObject, { namespace: 'default' })
  }
  const [, ...lines] = (await run('events')).stdout.trim().split('\n')
  assert.match(
    lines[0] ?? '',
    /^2026-01-01T14:02:00Z +takeover +GatewayUnhealthy +CiliumEgressGatewayPolicy outpost +GatewayUnhealthy it is$/,
  )
  assert.match(lines[1] ?? '', /^2026-01-01T14:03:00Z +hand-back +GatewayHealthy /)
})
