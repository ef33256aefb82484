import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ciliumPolicy, world } from '../../../../test/support/world-builder.ts'
import type { NodeInterface } from '../../../api/egress-node.ts'
import { explainPolicies } from '../status.ts'

/** Of a policy whose gateway has 172.18.0.42 on its interface net0. */
function conditions(net0: Partial<NodeInterface>, spec: object = {}) {
  const egressNodes = world().egressNodes.map((node) => {
    const interfaces = (node.status?.interfaces ?? []).map((each) =>
      each.name === 'net0' ? { ...each, ...net0 } : each,
    )
    return node.metadata.name === 'worker3' ? { ...node, status: { ...node.status, interfaces } } : node
  })
  const [explained] = explainPolicies(world({ egressNodes, ciliumPolicies: [ciliumPolicy('p', spec)] }))
  return explained?.conditions
    .filter(({ type }) => type === 'InterfaceNotUsed')
    .map(({ reason, message }) => `${reason}: ${message}`)
}

test('a policy says that its packets leave by another interface, because no routing rule chooses the one it names', () => {
  assert.deepEqual(conditions({ withoutRule: ['172.18.0.42'] }), [
    'NoRoutingRule: Packets with these egress IPs leave by another interface than the one that has the address: 172.18.0.42 (net0 of node worker3). With egressGateway.gatewayForwarding=stack, routing rules choose the interface. Add one on the node: ip rule add from EGRESS_IP lookup TABLE.',
  ])
  assert.deepEqual(conditions({ withoutRule: ['172.18.0.99'] }), [])
})

test('a policy says that its packets leave by another interface, because no route to a destination uses the one it names', () => {
  const withoutDefaultRoute = { addresses: ['172.18.0.42'], destinations: ['172.18.0.0/16', '192.0.2.0/24'] }
  const destinationCIDRs = ['172.18.0.7/32', '192.0.2.0/24', '192.0.0.0/8', '0.0.0.0/0', '::/0']
  assert.deepEqual(conditions({ withoutDefaultRoute }, { destinationCIDRs }), [
    'NoDefaultRoute: Packets with egress IP 172.18.0.42 to 192.0.0.0/8, 0.0.0.0/0 leave node worker3 by another interface than net0, which has the address, because the node’s routes to these destinations do not use net0. If they must leave by net0, add a default route to it: in IPv4 with a higher metric than that of the other interface, in IPv6 with the same metric.',
  ])
  assert.deepEqual(
    conditions({ withoutDefaultRoute }, { destinationCIDRs: destinationCIDRs.slice(0, 2) }),
    [],
  )
  const another = { ...withoutDefaultRoute, addresses: ['172.18.0.99'] }
  assert.deepEqual(conditions({ withoutDefaultRoute: another }, { destinationCIDRs }), [])
})
