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
import type { EgressNode } from '../../api/egress-node.ts'
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
      /Interface eth0 of node worker3 has only the node's own address .* Either add another address to the interface\. Or .* needs egressGateway\.gatewayForwarding=fast, kernel 6\.1 or later.*starts\.$/,
    )
    const byAddress = leaves({ nodeSelector, egressIP: '172.18.0.4' })
    assert.deepEqual(answer(byAddress), { action: 'drop', reason: 'DROP_POLICY_INVALID', policy: 'p' })
    assert.match(
      complaint(byAddress) ?? '',
      /172\.18\.0\.4 is node worker3's own address.* Either add another address to the node and set egressIP to it\. Or /,
    )
  })

  /** The gateways keep the ports of their stacks and those of flows apart. */
  const sharing = (more: Partial<EgressNode['status']> = {}): readonly EgressNode[] =>
    world().egressNodes.map((each) => ({ ...each, status: { ...each.status, sharesAddress: true, ...more } }))

  test('a node’s own address is an egress IP if the node shares it with its stack', () => {
    for (const egressGateway of [{ nodeSelector }, { nodeSelector, egressIP: '172.18.0.4' }]) {
      const of = leaves(egressGateway, { egressNodes: sharing() })
      assert.deepEqual(answer(of), { action: 'egress', egressIps: ['172.18.0.4'], policy: 'p' })
      const [{ conditions = [] } = {}] = explainPolicies(of)
      assert.deepEqual(conditions.map(({ type, status }) => `${type}=${status}`).slice(0, 2), [
        'Ready=True',
        'SharesNodeAddress=True',
      ])
      assert.match(conditions[1]?.message ?? '', /^Egress IP 172\.18\.0\.4 \(worker3\) .* not ping/)
    }
  })

  test('flows have the same ports of a shared address on every node, and none is for masquerading', () => {
    const of = (self: string): World => leaves({ nodeSelector }, { egressNodes: sharing(), self })
    const blocks = (self: string) => {
      const { egressIps, pools } = resolve(of(self))
      assert.ok(pools.every(({ purpose }) => purpose === 'egress'))
      const entry = egressIps.get(address('172.18.0.4'))
      assert.deepEqual(entry?.order, ['172.18.0.4'])
      return entry?.blockOwner.flatMap((owner, block) => (owner === undefined ? [] : [[owner, block]]))
    }
    assert.deepEqual(blocks('worker3'), blocks('worker'))
    assert.equal(blocks('worker')?.[0]?.[1], 57344 >> 4)
    assert.equal(resolve(of('worker3')).self.masquerade4, '172.18.0.4')
  })

  test('a shared address stays a node’s address: pods reach its services by the stack', () => {
    const { cluster } = resolve(leaves({ nodeSelector }, { egressNodes: sharing() }))
    assert.deepEqual(cluster.get(prefix('172.18.0.4/32')), { kind: 'node', tunnelAddress: '172.18.0.4' })
  })

  test('a second InternalIP of a family is the stack’s alone', () => {
    const nodes = world().nodes.map((each) =>
      each.name === 'worker3' ? { ...each, internalIPs: [...each.internalIPs, address('172.18.0.9')] } : each,
    )
    const of = leaves({ nodeSelector, egressIP: '172.18.0.9' }, { nodes, egressNodes: sharing() })
    assert.deepEqual(answer(of), { action: 'drop', reason: 'DROP_POLICY_INVALID', policy: 'p' })
  })

  test('stand-alone, nothing is shared', () => {
    const of = world({
      egressNodes: sharing(),
      ciliumPolicies: [ciliumPolicy('p', { egressGateway: { nodeSelector } as never })],
    })
    assert.ok(explainPolicies(of)[0]?.conditions.every(({ type }) => type !== 'SharesNodeAddress'))
  })

  test('a second address of the node’s interface is the egress IP, also if the node can share its own', () => {
    const eth0 = device('eth0', ['172.18.0.4', '172.18.0.44'], { isDefaultRoute: true })
    const egressNodes = world().egressNodes.map((each) =>
      each.metadata.name === 'worker3' ? egressNode('worker3', 2, [eth0]) : each,
    )
    const sharing = egressNodes.map((each) => ({ ...each, status: { ...each.status, sharesAddress: true } }))
    for (const each of [egressNodes, sharing])
      assert.deepEqual(answer(leaves({ nodeSelector }, { egressNodes: each })), {
        action: 'egress',
        egressIps: ['172.18.0.44'],
        policy: 'p',
      })
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
