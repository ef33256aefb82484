import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Address } from '../../net/address.ts'
import { chosenForNewFlows } from './new-flows.ts'

const [one, two, three] = ['172.18.0.42', '172.18.0.43', '172.18.0.44'] as [Address, Address, Address]
const orders = new Map<Address, readonly string[]>([
  [one, ['w3', 'w4']],
  [two, ['w4', 'w3']],
  [three, ['w5']],
])
const orderOf = (address: Address): readonly string[] => orders.get(address) ?? []
const chosen = (keepsAddress: boolean, ...unreachable: string[]): readonly Address[] => [
  ...chosenForNewFlows(
    { preferred: [one, two], standby: [three], keepsAddress },
    orderOf,
    new Set(unreachable),
  ),
]

for (const [name, found, expected] of [
  ['new flows take the preferred egress IPs', chosen(false), [one, two]],
  ['a policy that spreads leaves out an egress IP whose owner is unreachable', chosen(false, 'w3'), [two]],
  ['it takes one that stands by before one at its successor', chosen(false, 'w3', 'w4'), [three]],
  ['a policy that keeps its address takes it at its successor', chosenForNewFlows({ preferred: [one], standby: [three], keepsAddress: true }, orderOf, new Set(['w3'])), [one]],
  ['it takes a standby gateway if no node answers for its own gateway’s egress IP', chosen(true, 'w3', 'w4'), [three]],
  ['without any reachable gateway new flows take none', chosen(false, 'w3', 'w4', 'w5'), []],
  ['a rule without a group has none', chosenForNewFlows(undefined, orderOf, new Set()), []],
] as const) // biome-ignore format: a table
  test(name, () => assert.deepEqual([...found], expected))
