import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { EgressView } from '../../agent/api/local-api.ts'
import { parseAddress } from '../../net/address.ts'
import { drawPicture } from './draw.ts'

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
