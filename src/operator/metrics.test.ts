import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ciliumPolicy, world } from '../../test/support/world-builder.ts'
import type { Address } from '../net/address.ts'
import { LoopTimes } from '../runtime/metrics/loop-times.ts'
import { createMetrics, type Observed } from './metrics.ts'

const condition = {
  type: 'AddressConflict',
  status: 'True',
  reason: 'AnotherHostAnswers',
  message: '',
  lastTransitionTime: '2026-01-01T00:00:00Z',
} as const

const observed: Observed = {
  isLeader: true,
  world: {
    ...world({}),
    ciliumPolicies: [{ ...ciliumPolicy('p'), status: { conditions: [condition] } }],
  },
  plans: [{ address: '172.18.0.42' as Address, leasable: 100, left: 7 }],
  watches: [{ resource: 'nodes', idleMs: 500, isStale: true }],
}

const linesOf = async (of: Observed): Promise<readonly string[]> =>
  (await createMetrics(new LoopTimes(['leases']), () => of).metrics()).split('\n')

test('the leader’s metrics tell of conditions, ports, loops and watches', async () => {
  const lines = await linesOf(observed)
  for (const line of [
    'sallyport_operator_leader 1',
    'sallyport_operator_objects{kind="CiliumEgressGatewayPolicy"} 1',
    'sallyport_operator_condition{kind="CiliumEgressGatewayPolicy",name="p",condition="AddressConflict",status="True",reason="AnotherHostAnswers"} 1',
    'sallyport_operator_leasable_ports{egress_ip="172.18.0.42"} 1600',
    'sallyport_operator_free_ports{egress_ip="172.18.0.42"} 112',
    'sallyport_reconciliation_failures_total{loop="leases"} 0',
    'sallyport_watch_idle_seconds{resource="nodes"} 0.5',
    'sallyport_watch_failing{resource="nodes"} 1',
  ])
    assert.ok(lines.includes(line), `${line}\n${lines.join('\n')}`)
})

test('an operator on standby has no metrics of objects', async () => {
  const lines = await linesOf({ ...observed, isLeader: false, world: undefined, plans: [] })
  assert.ok(lines.includes('sallyport_operator_leader 0'))
  assert.deepEqual(
    lines.filter((line) => /^sallyport_operator_(condition|objects|free_ports|leasable_ports)\{/.test(line)),
    [],
  )
})
