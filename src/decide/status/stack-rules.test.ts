import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ciliumPolicy, prefix, world } from '../../../test/support/world-builder.ts'
import { type StackUse, stackConditions } from './stack-rules.ts'
import { explainPolicies } from './status.ts'

const forward = { table: 'site', name: 'forward', hook: 'forward', drops: false, rules: 2 }
const none = { chains: [], legacyTables: [], ipsec: [], routingRules: 0, routingSources: [] }
const fast: StackUse = { rules: none, isGateway: true, forwardsByStack: false, servicesByStack: false }
const say = (use: Partial<StackUse>): string[] =>
  stackConditions({ ...fast, ...use }).map(({ type, reason, message }) => `${type} ${reason}: ${message}`)

test('a gateway says which of its rules do not apply to egress traffic', () => {
  assert.deepEqual(say({}), [])
  assert.deepEqual(say({ rules: { ...none, chains: [forward], routingRules: 2 } }), [
    'RulesBypassed NodeRules: These rules of the node do not apply to egress traffic: nftables chain forward of table site (hook forward), 2 routing rules that match a mark, a port or a type of service (ip rule). To apply them, set egressGateway.gatewayForwarding=stack.',
  ])
})

test('tables of iptables-legacy are named, because the agent does not read their rules', () => {
  assert.deepEqual(say({ rules: { ...none, legacyTables: ['filter', 'mangle (IPv6)'] } }), [
    'RulesBypassed NodeRules: These rules of the node do not apply to egress traffic: rules in the tables filter, mangle (IPv6) of iptables-legacy, which the agent does not read. To apply them, set egressGateway.gatewayForwarding=stack.',
  ])
})

test('IPsec policies come first, because the traffic is in clear text', () => {
  assert.deepEqual(say({ rules: { ...none, ipsec: [prefix('192.0.2.0/24')] } }), [
    'RulesBypassed IPsecPolicies: Egress traffic leaves in clear text although IPsec policies of the node cover these destinations: 192.0.2.0/24. To apply them, set egressGateway.gatewayForwarding=stack.',
  ])
})

test('rules hold if the stack forwards, and on a node that forwards nothing there is nothing to say', () => {
  const rules = {
    chains: [forward],
    legacyTables: [],
    ipsec: [prefix('192.0.2.0/24')],
    routingRules: 1,
    routingSources: [],
  }
  assert.deepEqual(say({ rules, forwardsByStack: true }), [])
  assert.deepEqual(say({ rules, isGateway: false }), [])
})

test('a condition names a chain with policy drop if packets of pods go through the chain', () => {
  const rules = { ...none, chains: [{ ...forward, drops: true }] }
  for (const use of [{ servicesByStack: true, isGateway: false }, { forwardsByStack: true }])
    assert.match(
      say({ rules, ...use }).join(),
      /^ForwardingRestricted ForwardPolicyDrops: .* chain forward of table site drops packets that none of its rules accepts/,
    )
  assert.deepEqual(say({ rules, isGateway: false }), [])
})

test('a policy says that its traffic leaves in clear text although its gateway has an IPsec policy', () => {
  const conditions = (destination: string, bypassedIPsec: string[]) => {
    const egressNodes = world().egressNodes.map((node) =>
      node.metadata.name === 'worker3' ? { ...node, status: { ...node.status, bypassedIPsec } } : node,
    )
    const [explained] = explainPolicies(
      world({ egressNodes, ciliumPolicies: [ciliumPolicy('p', { destinationCIDRs: [destination] })] }),
    )
    return explained?.conditions.filter(({ type }) => type === 'IPsecBypassed').map(({ message }) => message)
  }
  assert.deepEqual(conditions('0.0.0.0/0', ['192.0.2.0/24']), [
    'Traffic of this policy leaves in clear text although IPsec policies of its gateways cover its destinations: node worker3 (192.0.2.0/24). To apply the IPsec policies, set egressGateway.gatewayForwarding=stack.',
  ])
  assert.deepEqual(conditions('203.0.113.0/24', ['192.0.2.0/24']), [])
  assert.deepEqual(conditions('203.0.113.0/24', []), [])
})
