import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { EgressView } from '../../agent/api/local-api.ts'
import { parseAddress } from '../../net/address.ts'
import { agentMoment, drawPicture } from './draw.ts'

const address = parseAddress('192.0.2.1')
assert.ok(address !== undefined)

const view = (name: string, destination: string, flows: number): EgressView => ({
  pod: { namespace: 'default', name, ips: [] },
  destination,
  policy: { kind: 'IsovalentEgressGatewayPolicy', name: 'p' },
  action: 'egress',
  egressIps: [
    {
      ...{ address, holder: 'g', order: ['g'], unreachable: [], takesNewFlows: true },
      ...{ portsOwned: 64, flows },
    },
  ],
})

test('a node’s flows are those of all its pods to all destinations, and its ports count once', () => {
  const egress = [view('a', '0.0.0.0/0', 3), view('a', '198.51.100.0/24', 5), view('b', '0.0.0.0/0', 4)]
  const { addresses } = drawPicture(
    {
      ...{ policies: [], nodes: [], timeline: [], unknown: [] },
      addresses: [{ metadata: { name: '192-0-2-1' }, spec: { address } }],
      said: new Map([['n', { egress }]]),
    },
    '',
  )
  assert.deepEqual(addresses[0]?.users, [{ node: 'n', portsOwned: 64, flows: 12 }])
})

test('an announcement and returning packets are moments of the timeline, with the node and how long it took', () => {
  const time = '2026-01-01T00:00:00.000Z'
  const moment = { id: '1', time, egressIp: address }
  assert.deepEqual(agentMoment('gateway', { ...moment, kind: 'announced' }), {
    ...{ time, about: 'address announced', text: 'gateway announced 192.0.2.1 on its link', isBad: false },
  })
  const { about, text } = agentMoment('worker', { ...moment, kind: 'flowsBack', afterMs: 412.4 })
  assert.equal(about, 'flows back')
  assert.match(text, /^worker gets packets for 192\.0\.2\.1 again, 412 ms after/)
})
