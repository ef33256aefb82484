import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  address,
  ciliumPolicy,
  device,
  egressNode,
  prefix,
  world,
} from '../../../test/support/world-builder.ts'
import { flowVerdict } from '../flow-verdicts.ts'
import { resolve } from '../resolve.ts'
import { explainPolicies } from '../status/status.ts'
import type { World } from '../world.ts'

const chained = (parts: Partial<World> = {}): World =>
  world({ ...parts, settings: { ...world().settings, isChained: true } })

const nodeSelector = { matchLabels: { 'egress-gw': 'true' } }
const leaves = (egressGateway: object, more: Partial<World> = {}): World =>
  chained({
    ciliumPolicies: [
      ciliumPolicy('p', { egressGateway: egressGateway as never, destinationCIDRs: ['0.0.0.0/0'] }),
    ],
    ...more,
  })

const answer = (of: World) => flowVerdict(resolve(of), address('10.244.1.7'), address('203.0.113.9'))
const complaint = (of: World) => explainPolicies(of)[0]?.conditions[0]?.message

describe('in chained mode', () => {
  test('a pod leaves by an interface that the node does not use itself', () => {
    assert.deepEqual(answer(leaves({ nodeSelector, interface: 'net0' })), {
      action: 'egress',
      egressIps: ['172.18.0.42'],
      policy: 'p',
    })
  })

  test('a node’s own address cannot be the egress IP: the policy’s traffic is dropped, and its status says why', () => {
    const byDefaultRoute = leaves({ nodeSelector })
    assert.deepEqual(answer(byDefaultRoute), { action: 'drop', reason: 'DROP_NO_EGRESS_IP', policy: 'p' })
    assert.match(
      complaint(byDefaultRoute) ?? '',
      /Interface eth0 of node worker3 has only the node's own address .* Add another address to the interface\.$/,
    )
    const byAddress = leaves({ nodeSelector, egressIP: '172.18.0.4' })
    assert.deepEqual(answer(byAddress), { action: 'drop', reason: 'DROP_POLICY_INVALID', policy: 'p' })
    assert.match(complaint(byAddress) ?? '', /172\.18\.0\.4 is node worker3's own address/)
  })

  test('a second address of the node’s interface can be the egress IP', () => {
    const eth0 = device('eth0', ['172.18.0.4', '172.18.0.44'], { isDefaultRoute: true })
    const egressNodes = world().egressNodes.map((each) =>
      each.metadata.name === 'worker3' ? egressNode('worker3', 2, [eth0]) : each,
    )
    const of = leaves({ nodeSelector }, { egressNodes })
    assert.deepEqual(answer(of), { action: 'egress', egressIps: ['172.18.0.44'], policy: 'p' })
  })

  test('the kernel’s stack delivers to pods and nodes, and it alone uses the node’s address', () => {
    const { cluster, egressIps, pools, self } = resolve(chained({ ciliumPolicies: [ciliumPolicy('p')] }))
    for (const each of ['10.244.1.0/24', '10.244.2.0/24'])
      assert.deepEqual(cluster.get(prefix(each)), { kind: 'stack' }, each)
    for (const each of ['172.18.0.5/32', 'fc00::5/128'])
      assert.equal(cluster.get(prefix(each))?.kind, 'node', each)
    assert.equal(egressIps.has(address('172.18.0.2')), false)
    assert.deepEqual(
      pools.filter(({ purpose }) => purpose === 'masquerade'),
      [],
    )
    assert.equal(self.masquerade4, undefined)
  })
})
