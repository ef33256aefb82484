import assert from 'node:assert/strict'
import { test } from 'node:test'
import { address } from '../../../test/packets/packet.ts'
import type { Address } from '../../net/address.ts'
import { Outages } from './outages.ts'
import { type FailoverState, startOfFailover } from './state.ts'

const [egressIp, owner, successor] = ['172.18.0.42', '172.18.0.4', '172.18.0.3'].map(address) as [
  Address,
  Address,
  Address,
]

function stateWith(unreachable: readonly Address[], order = [owner, successor]): FailoverState {
  const isUnreachable = (gateway: Address): boolean => unreachable.includes(gateway)
  const gateways = [owner, successor].map(
    (gateway) => [gateway, { isUnreachable: isUnreachable(gateway), isWitnessed: true, sinceMs: 0 }] as const,
  )
  return {
    ...startOfFailover('worker', new Map()),
    orders: new Map([[egressIp, order]]),
    gateways: new Map(gateways),
  }
}

const unansweredMs = (): number => 360

test('an outage ends when the packets go to the successor', () => {
  const outages = new Outages()
  assert.deepEqual(outages.note(stateWith([]), stateWith([owner]), 1000, unansweredMs), [
    { egressIp, gateway: owner, ms: 360 },
  ])
  assert.deepEqual(outages.note(stateWith([owner]), stateWith([]), 9000, unansweredMs), [])
})

test('an outage without a successor ends when the gateway is back', () => {
  const outages = new Outages()
  assert.deepEqual(outages.note(stateWith([], [owner]), stateWith([owner], [owner]), 1000, unansweredMs), [])
  assert.deepEqual(outages.note(stateWith([owner], [owner]), stateWith([], [owner]), 5000, unansweredMs), [
    { egressIp, gateway: owner, ms: 4360 },
  ])
})

test('a successor that fails is no outage', () => {
  const outages = new Outages()
  assert.deepEqual(outages.note(stateWith([]), stateWith([successor]), 1000, unansweredMs), [])
})
