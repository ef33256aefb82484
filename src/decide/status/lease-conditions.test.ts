import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { address, world } from '../../../test/support/world-builder.ts'
import { gatewaysBehind } from '../ports/lease-use.ts'
import { lingeringAddresses } from '../ports/lingering.ts'
import {
  exhaustion,
  exhaustionEvents,
  gatewayBehind,
  heaviestPod,
  lingeringConditions,
} from './lease-conditions.ts'

const of = (left: number, isShort = false) => exhaustion({ leasable: 800, left, isShort })

describe('the exhaustion of an egress IP', () => {
  test('is not reported while an eighth of its ports is left', () =>
    assert.equal(of(100).reason, 'PortsLeft'))
  test('is reported as near when less than an eighth is left', () => {
    assert.equal(of(99).reason, 'FewPortsLeft')
    assert.equal(of(99).status, 'False')
  })
  test('is reported when no port is left', () => {
    assert.equal(of(0).status, 'True')
    assert.match(of(0, true).message, /need more/)
  })
  test('names the pod that has most connections, and its node', () => {
    const { egressNodes } = world()
    const said = egressNodes.map((each, index) => ({
      ...each,
      status: { heaviest: [{ address: '172.18.0.42', pod: `shop/pod-${index}`, connections: 100 * index }] },
    }))
    const heaviest = heaviestPod(address('172.18.0.42'), said)
    assert.equal(heaviest?.node, egressNodes.at(-1)?.metadata.name)
    const { status, reason, message } = exhaustion({ leasable: 800, left: 0, isShort: true, heaviest })
    assert.deepEqual([status, reason], ['True', 'PodHoldsMost'])
    assert.match(message, new RegExp(`Pod shop/pod-${egressNodes.length - 1} on node ${heaviest?.node} has`))
    assert.equal(exhaustion({ leasable: 800, left: 9, isShort: false, heaviest }).status, 'False')
  })
  test('has one Event before it happens, and one when it is over', () => {
    const reasons = (was: number, is: number) =>
      exhaustionEvents('192.0.2.1', [of(was)], of(is)).map(({ type, reason }) => `${type} ${reason}`)
    assert.deepEqual(reasons(800, 700), [])
    assert.deepEqual(reasons(700, 50), ['Warning FewPortsLeft'])
    assert.deepEqual(reasons(50, 40), [])
    assert.deepEqual(reasons(40, 0), ['Warning NoPortsLeft'])
    assert.deepEqual(reasons(0, 800), ['Normal PortsLeft'])
    assert.deepEqual(exhaustionEvents('192.0.2.1', [], of(800)), [])
  })
})

test('a healthy gateway that has not confirmed the latest lease is behind', () => {
  const confirmed: Readonly<Record<string, number>> = { worker2: 3, worker3: 2, worker4: 1 }
  const { nodes, egressNodes } = world()
  const behind = gatewaysBehind({
    nodes: nodes.map((each) => (each.name === 'worker4' ? { ...each, isReady: false } : each)),
    egressNodes: egressNodes.map((each) => {
      const revision = confirmed[each.metadata.name]
      const said = revision === undefined ? [] : [{ address: '172.18.0.42', revision }]
      return { ...each, status: { ...each.status, confirmed: said } }
    }),
    egressAddresses: [
      { metadata: { name: '172-18-0-42', generation: 3 }, spec: { address: '172.18.0.42', leases: [] } },
    ],
  })
  assert.deepEqual([...behind], [['172.18.0.42', ['worker3']]])
  assert.match(
    gatewayBehind(['worker3'])[0]?.message ?? '',
    /^The latest leases are not confirmed by worker3,/,
  )
  assert.deepEqual(gatewayBehind([]), [])
})

test('an egress IP that no policy uses any more names the nodes with connections, and how to end them', () => {
  const egressIp = address('172.18.0.42')
  const counts: Readonly<Record<string, number>> = { worker4: 2, worker: 0, worker2: 5 }
  const summary = lingeringAddresses(
    world().egressNodes.map((each) => {
      const connections = counts[each.metadata.name]
      const lingering = connections === undefined ? [] : [{ address: egressIp, connections }]
      return { ...each, status: { ...each.status, lingering } }
    }),
  ).get(egressIp)
  assert.deepEqual(summary, { connections: 7, nodes: ['worker2', 'worker4'] })
  const [left] = lingeringConditions(egressIp, summary)
  assert.equal(left?.reason, 'ConnectionsLeft')
  assert.match(left?.message ?? '', /of node worker2 and worker4 .* sallyport egress release 172\.18\.0\.42$/)
  assert.equal(lingeringConditions(egressIp, { connections: 0, nodes: [] })[0]?.reason, 'NoConnectionLeft')
  assert.deepEqual(lingeringConditions(egressIp, undefined), [])
})
