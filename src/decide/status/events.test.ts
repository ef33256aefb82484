import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { policyEvents, type StatusSeen, slotEvents } from './events.ts'

const [east, west] = ['172.18.0.4', '172.18.0.3']
const names = new Map([
  [east, 'worker3'],
  [west, 'worker4'],
])

const ready = (status: 'True' | 'False', reason: string, message = 'm') => ({
  type: 'Ready',
  status,
  reason,
  message,
})
const pool = (status: 'True' | 'False') => ({
  type: 'isovalent.com/IPAMRequestSatisfied',
  status,
  reason: status === 'True' ? 'noreason' : 'PoolExhausted',
  message: 'pool',
})
const dead = (message: string) =>
  ({ type: 'GatewayUnhealthy', status: 'True', reason: 'AnotherAnswers', message }) as const
const refused = { type: 'PodsRefused', status: 'True', reason: 'NetworkPolicy', message: 'a pod' } as const
const conflict = (address: string) => ({
  type: 'AddressConflict',
  status: 'True' as const,
  reason: 'AnotherHostAnswers',
  message: `Another host has address ${address} of egressCIDRs.`,
})
const well = ready('True', 'GatewaysFound')
const healthy = (...ips: string[]): StatusSeen => ({
  conditions: [well],
  groupStatuses: [{ healthyGatewayIPs: ips }],
})
const granted = (egressIPByGatewayIP: Record<string, string>): StatusSeen => ({
  conditions: [well],
  groupStatuses: [{ egressIPByGatewayIP }],
})

function told(
  before: StatusSeen,
  after: StatusSeen,
  candidates: readonly string[] = [east, west],
): readonly string[] {
  const whyNot = (name: string): string | undefined =>
    name === 'worker3' ? 'Gateway worker3 is not healthy.' : undefined
  return policyEvents(before, after, { names, candidates: new Set(candidates), whyNot }).map(
    ({ type, reason, message }) => `${type} ${reason}: ${message}`,
  )
}

const leaving = (gateways: string, egressIPs: string, observedGeneration = 1): StatusSeen => ({
  conditions: [well],
  summary: { gateways, egressIPs },
  observedGeneration,
})

describe('an Event reports', () => {
  const cases: readonly { name: string; before: StatusSeen; after: StatusSeen; expect: readonly string[] }[] =
    [
      { name: 'that a new policy is ready', before: {}, after: healthy(east), expect: ['Normal Ready: m'] },
      {
        name: 'that another host has an address of the pool, and that connections leave with another one for that reason',
        before: leaving('worker3', '172.18.9.1'),
        after: { ...leaving('worker3', '172.18.9.2'), conditions: [well, conflict('172.18.9.1')] },
        expect: [
          'Normal EgressIPChanged: New connections leave with 172.18.9.2 (worker3). Before, they left with 172.18.9.1 (worker3). Another host has 172.18.9.1.',
          'Warning AddressConflict: Another host has address 172.18.9.1 of egressCIDRs.',
        ],
      },
      {
        name: 'a conflict once',
        before: { conditions: [well, conflict('172.18.9.1')] },
        after: { conditions: [well, conflict('172.18.9.1')] },
        expect: [],
      },
      {
        name: 'that connections leave with the address of another gateway, and why',
        before: leaving('worker3', '172.18.0.42'),
        after: leaving('worker4', '172.18.0.43'),
        expect: [
          'Normal EgressIPChanged: New connections leave with 172.18.0.43 (worker4). Before, they left with 172.18.0.42 (worker3). Gateway worker3 is not healthy. Node worker4 is a gateway now.',
        ],
      },
      {
        name: 'that a gateway is back with its address',
        before: leaving('worker4', '172.18.0.43'),
        after: leaving('worker3, worker4', '172.18.0.42, 172.18.0.43'),
        expect: [
          'Normal EgressIPChanged: New connections leave with 172.18.0.42, 172.18.0.43 (worker3, worker4). Before, they left with 172.18.0.43 (worker4). Node worker3 is a gateway now.',
        ],
      },
      {
        name: 'that the address of a gateway is another',
        before: leaving('worker4', '172.18.0.43'),
        after: leaving('worker4', '172.18.0.44'),
        expect: [
          'Normal EgressIPChanged: New connections leave with 172.18.0.44 (worker4). Before, they left with 172.18.0.43 (worker4). The addresses of worker4 changed.',
        ],
      },
      {
        name: 'that an edit of the policy changed the address',
        before: leaving('worker4', '172.18.0.43', 1),
        after: leaving('worker4', '172.18.0.44', 2),
        expect: [
          'Normal EgressIPChanged: New connections leave with 172.18.0.44 (worker4). Before, they left with 172.18.0.43 (worker4). The policy was changed.',
        ],
      },
      {
        name: 'nothing if an address is the same, or the first, or the last',
        before: leaving('worker4', ''),
        after: leaving('worker3', '172.18.0.42'),
        expect: [],
      },
      ...(['GatewayIdle', 'PortsExhausted', 'DestinationsNotServed', 'DropsFamily'] as const).map((type) => ({
        name: `that a policy has the condition ${type}`,
        before: { conditions: [well] },
        after: { conditions: [well, { type, status: 'True' as const, reason: 'r', message: 'what to do' }] },
        expect: [`Warning ${type}: what to do`],
      })),
      {
        name: 'that no pod matches, once',
        before: { conditions: [well] },
        after: {
          conditions: [
            well,
            { type: 'SelectsNoPods', status: 'True', reason: 'NoPodMatches', message: 'none' },
          ],
        },
        expect: ['Warning SelectsNoPods: none'],
      },
      {
        name: 'which gateway answers for an unhealthy one',
        before: { conditions: [well] },
        after: { conditions: [well, dead('b answers')] },
        expect: ['Warning GatewayUnhealthy: b answers'],
      },
      {
        name: 'that another gateway answers now',
        before: { conditions: [well, dead('b answers')] },
        after: { conditions: [well, dead('c answers')] },
        expect: ['Warning GatewayUnhealthy: c answers'],
      },
      {
        name: 'nothing while the same gateway answers',
        before: { conditions: [well, dead('b answers')] },
        after: { conditions: [well, dead('b answers')] },
        expect: [],
      },
      {
        name: 'that it is back',
        before: { conditions: [well, dead('b answers')] },
        after: { conditions: [well] },
        expect: ['Normal GatewayHealthy: Every gateway is healthy.'],
      },
      {
        name: 'once that pods are refused',
        before: { conditions: [well] },
        after: { conditions: [well, refused] },
        expect: ['Warning PodsRefused: a pod'],
      },
      {
        name: 'nothing if other pods are refused',
        before: { conditions: [well, refused] },
        after: { conditions: [well, { ...refused, message: 'two pods' }] },
        expect: [],
      },
      {
        name: 'that a policy is not ready, and why',
        before: { conditions: [well] },
        after: { conditions: [ready('False', 'NoGateway', 'no node matches')] },
        expect: ['Warning NoGateway: no node matches'],
      },
      {
        name: 'that a policy is not ready for another reason',
        before: { conditions: [ready('False', 'NoGateway')] },
        after: { conditions: [ready('False', 'NoEgressIP')] },
        expect: ['Warning NoEgressIP: m'],
      },
      {
        name: 'nothing if only the words differ',
        before: { conditions: [ready('True', 'GatewaysFound', 'a'), pool('True')] },
        after: { conditions: [ready('True', 'GatewaysFound', 'b'), pool('True')] },
        expect: [],
      },
      {
        name: 'that a pool has no address left',
        before: { conditions: [pool('True')] },
        after: { conditions: [pool('False')] },
        expect: ['Warning PoolExhausted: pool'],
      },
      {
        name: 'that a pool has addresses again',
        before: { conditions: [pool('False')] },
        after: { conditions: [pool('True')] },
        expect: ['Normal PoolSufficient: pool'],
      },
      {
        name: 'which gateway got which address, and which gateway lost one',
        before: granted({ [east]: '172.18.9.1' }),
        after: granted({ [west]: '172.18.9.1' }),
        expect: [
          'Normal EgressIPReleased: The operator took egress IP 172.18.9.1 back from gateway worker3.',
          'Normal EgressIPAllocated: The operator gave egress IP 172.18.9.1 to gateway worker4.',
        ],
      },
      {
        name: 'that a gateway is not healthy',
        before: healthy(east, west),
        after: healthy(west),
        expect: [
          'Warning GatewayUnhealthy: Gateway worker3 is not healthy. New connections avoid it. Check that Node worker3 is Ready, that its agent runs, and that other nodes reach it at the UDP port of the tunnel.',
        ],
      },
      {
        name: 'that it is back',
        before: healthy(west),
        after: healthy(east, west),
        expect: ['Normal GatewayHealthy: Gateway worker3 is healthy.'],
      },
    ]
  for (const { name, before, after, expect } of cases)
    test(name, () => assert.deepEqual(told(before, after), expect))

  test('nothing about the health of a node that is not a gateway any more', () =>
    assert.deepEqual(told(healthy(east, west), healthy(west), [west]), []))
})

test('an Event reports a node without a slot', () => {
  const events = slotEvents([{ action: 'refuse', node: 'worker9', reason: 'all 512 slots are given' }])
  assert.deepEqual(
    [...events],
    [
      [
        'worker9',
        {
          type: 'Warning',
          reason: 'NoSlot',
          message:
            'Node worker9 gets no ports, because all 512 slots are given. Traffic that policies select from its pods is dropped. Delete the Node objects of machines that are gone: about four minutes later their slots are free. If all machines exist, the cluster needs more slots, a power of two. Changing them breaks all open connections through egress gateways: sallyport upgrade --force --set slots=N',
        },
      ],
    ],
  )
})
