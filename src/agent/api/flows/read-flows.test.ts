import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, test } from 'node:test'
import { type NodeUnderTest, openNode, reset, send, skip } from '../../../../test/packets/node-under-test.ts'
import { address, ipv4 } from '../../../../test/packets/packet.ts'
import type { FlowQuery, FlowRow } from './flow-row.ts'
import { ownerOf, readFlows } from './read-flows.ts'

/** The real program's mappings, as `flows` and `who` show them. */
describe('flows', { skip }, () => {
  let node: NodeUnderTest
  before(() => {
    node = openNode()
  })
  after(() => node.datapath[Symbol.asyncDispose]())
  beforeEach(() => reset(node))

  const pod = (name: string, ip: string, sinceNs = 1n) => ({
    ...{ containerId: name, interfaceName: 'eth0', device: name, sinceNs, addresses: [address(ip)] },
    pod: { namespace: 'shop', name, uid: name },
  })
  const parts = () => ({
    node: 'worker',
    datapath: node.datapath,
    tables: { policies: new Map([[7n, { kind: 'CiliumEgressGatewayPolicy', name: 'outpost' }]]) },
    attachments: [pod('web', '10.244.1.7'), pod('job', '10.244.1.8')],
    pods: [{ namespace: 'shop', name: 'web', labels: { app: 'web' } }],
    nowNs: process.hrtime.bigint(),
    nowMs: Date.now(),
  })
  const list = async (query: FlowQuery = {}, more: object = {}): Promise<FlowRow[]> => {
    const rows: FlowRow[] = []
    for await (const row of readFlows({ ...parts(), ...more }, query)) rows.push(row)
    return rows
  }
  const open = (port: number, to = '203.0.113.9', from = '10.244.1.7'): void => {
    const device = from.endsWith('7') ? node.devices.pod7 : node.devices.pod8
    send(node, 'from_pod', device, ipv4(from, to).tcp(port, 443, { flags: ['SYN'] }))
  }

  test('have pod, labels, policy, addresses, state and counts', async () => {
    open(40_000)
    const [row, ...others] = await list()
    assert.equal(others.length, 0)
    assert.ok(row?.flow)
    assert.deepEqual(
      { ...row, flow: undefined },
      {
        ...{ node: 'worker', namespace: 'shop', pod: 'web', labels: { app: 'web' } },
        ...{ egressIp: '172.18.0.42', policy: 'outpost', connections: 1 },
        ...{ packetsOut: 1, packetsIn: 0, bytesOut: row.bytesOut, bytesIn: 0, flow: undefined },
      },
    )
    assert.ok(row.bytesOut > 0)
    assert.equal(row.flow.source, '10.244.1.7:40000')
    assert.equal(row.flow.destination, '203.0.113.9:443')
    assert.match(row.flow.egress, /^172\.18\.0\.42:327(6[89]|7\d|8[0-3])$/)
    assert.equal(row.flow.state, 'opening')
    assert.ok(Math.abs(Date.parse(row.flow.since) - Date.now()) < 5_000, row.flow.since)
  })

  test('are those that the query asks for', async () => {
    open(40_000)
    open(40_001, '198.51.100.9')
    open(40_002, '198.51.100.9', '10.244.1.8')
    const count = async (query: FlowQuery): Promise<number> => (await list(query)).length
    assert.equal(await count({}), 3)
    assert.equal(await count({ pod: 'shop/web' }), 2)
    assert.equal(await count({ pod: 'job' }), 1)
    assert.equal(await count({ policy: 'outpost' }), 2)
    assert.equal(await count({ egressIp: '172.18.0.43' }), 1)
    assert.equal(await count({ to: '198.51.100.0/24' }), 2)
    assert.equal(await count({ to: '203.0.113.9', toPort: '443' }), 1)
    assert.equal(await count({ toPort: '80' }), 0)
    assert.equal(await count({ state: 'established' }), 0)
    assert.equal(await count({ limit: '2' }), 2)
    const [one] = await list({ to: '203.0.113.9' })
    const port = one?.flow?.egress.split(':')[1] ?? ''
    const behind = await list({ egressIp: '172.18.0.42', egressPort: port })
    assert.deepEqual(
      behind.map(({ flow }) => flow?.source),
      ['10.244.1.7:40000'],
    )
    await assert.rejects(list({ to: 'example.org' }), /example\.org is not an IP address or prefix/)
    await assert.rejects(list({ limit: '0' }), /limit 0 is not a positive number/)
  })

  test('of a pod that had the address before are not the present pod’s', async () => {
    open(40_000)
    const later = [pod('web', '10.244.1.7', process.hrtime.bigint())]
    const [row] = await list({}, { attachments: later })
    assert.ok(row !== undefined && row.pod === undefined)
  })

  test('are the largest first, or sums of pods', async () => {
    for (const port of [40_000, 40_001, 40_002]) open(port)
    open(40_003, '203.0.113.10')
    send(
      node,
      'from_pod',
      node.devices.pod7,
      ipv4('10.244.1.7', '203.0.113.10').tcp(40_003, 443, { flags: ['SYN'] }),
    )
    const [largest] = await list({ top: 'packets', limit: '1' })
    assert.equal(largest?.flow?.source, '10.244.1.7:40003')
    assert.equal(largest.packetsOut, 2)
    const [sum, ...rest] = await list({ top: 'connections' })
    assert.deepEqual([sum?.connections, sum?.packetsOut, sum?.flow, rest.length], [4, 5, undefined, 0])
  })

  test('leave the process its turns while a long table is read', async () => {
    const { mappings } = node.datapath.tables
    open(40_000)
    const [[key, value] = assert.fail('there is a mapping')] = [...mappings.entries()]
    for (let port = 1; port <= 20_000; port++) mappings.set({ ...key, source_port: port }, value)
    let longestMs = 0
    let before = performance.now()
    const timer = setInterval(() => {
      longestMs = Math.max(longestMs, performance.now() - before)
      before = performance.now()
    }, 1)
    let turns = 0
    const counting = setInterval(() => turns++, 1)
    assert.equal((await list({ limit: '30000' })).length, 20_001)
    clearInterval(timer)
    clearInterval(counting)
    assert.ok(turns > 10, `${turns} turns, the longest wait ${longestMs} ms`)
  })
})

test('a port has the owner that gateways know, or none', () => {
  const owners: (number | 'self' | 'stack' | undefined)[] = Array.from({ length: 4096 })
  owners.fill(2, 2048, 2049).fill('self', 3072, 3073).fill('stack', 100, 101)
  const [self, other, egressIp] = ['172.18.0.3', '172.18.0.4', '172.18.0.42'].map(address) as [
    never,
    never,
    never,
  ]
  const tables = {
    self: { tunnelAddress: self, masquerade4: undefined, masquerade6: undefined, slot: 1 },
    nodes: new Map([
      [self, { name: 'worker', slot: 1 }],
      [other, { name: 'worker2', slot: 2 }],
    ]),
    egressIps: new Map([[egressIp, { order: [other], blockOwner: owners }]]),
  }
  assert.deepEqual(ownerOf(tables, egressIp, 32_770), { isEgressIp: true, node: 'worker2' })
  assert.deepEqual(ownerOf(tables, egressIp, 49_152), { isEgressIp: true, node: 'worker' })
  assert.deepEqual(ownerOf(tables, egressIp, 1_600), { isEgressIp: true })
  assert.deepEqual(ownerOf(tables, other, 1_600), { isEgressIp: false })
})
