import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  address,
  ciliumPolicy,
  device,
  egressNode,
  isovalentPolicy,
  world,
} from '../../../test/support/world-builder.ts'
import type { NodeInterface } from '../../api/egress-node.ts'
import { resolve } from '../resolve.ts'
import { compatibleRows } from '../status/compatible-rows.ts'
import { explainPolicies } from '../status/status.ts'
import type { World } from '../world.ts'
import { planTakeovers } from './takeover.ts'

const [first, second] = ['172.18.0.42', '172.18.0.43'].map(address) as [never, never]
const [worker3, worker4] = ['172.18.0.4', '172.18.0.3'].map(address)

/** Both gateways have an egress IP on net0. The parameters describe net0 of worker3. */
function gateways(net0: Partial<NodeInterface>, subnets: string[], parts: Partial<World> = {}): World {
  const others = world().egressNodes.filter(({ metadata: { name } }) => !/[34]$/.test(name))
  return world({
    ciliumPolicies: [ciliumPolicy('one')],
    egressNodes: [
      ...others,
      egressNode('worker3', 2, [device('net0', ['172.18.0.42'], { subnets, ...net0 })]),
      egressNode('worker4', 3, [device('net0', ['172.18.0.43'], { subnets })]),
    ],
    ...parts,
  })
}

/** worker3 has only these interfaces. */
function without(interfaces: readonly NodeInterface[], parts: Partial<World> = {}): World {
  const given = gateways({}, link, parts)
  const egressNodes = given.egressNodes.map((each) =>
    each.metadata.name === 'worker3' ? egressNode('worker3', 2, interfaces) : each,
  )
  return { ...given, egressNodes }
}

const link = ['172.18.0.0/16']
const all = { ciliumPolicies: [], isovalentPolicies: [isovalentPolicy('all')] }

function flows(of: World) {
  const { groups, egressIps } = resolve(of)
  const [group] = [...groups.values()]
  return {
    preferred: group?.preferred,
    standby: group?.standby,
    order: egressIps.get(first)?.order,
  }
}

describe('a gateway whose interface carries no traffic', () => {
  for (const problem of ['Down', 'NoCarrier'] as const) {
    test(`${problem}: under a policy with one gateway its successor answers for the egress IP`, () => {
      const { preferred, order } = flows(gateways({ problem }, link))
      assert.deepEqual([preferred, order], [[first], [worker4]])
      assert.deepEqual([...resolve(gateways({ problem }, link)).ownerless], [first])
    })
    test(`${problem}: under a policy with groups new flows use the others, established ones the successor`, () => {
      const { preferred, order } = flows(gateways({ problem }, link, all))
      assert.deepEqual([preferred, order], [[second], [worker4]])
    })
    test(`${problem}: if no other gateway is on its link, new flows use another match`, () => {
      const { preferred, standby, order } = flows(gateways({ problem }, []))
      assert.deepEqual([preferred, standby, order], [[first], [second], []])
    })
  }
  test('without an Ethernet header it has no egress IP, and new flows use the other gateways', () => {
    assert.deepEqual(flows(gateways({ problem: 'NoEthernetHeader' }, link)).preferred, [second])
    assert.deepEqual(flows(gateways({ problem: 'NoEthernetHeader' }, link, all)).preferred, [second])
  })
  for (const [gone, interfaces] of [
    ['lost its address', [device('net0', [])]],
    ['is missing', []],
  ] as const)
    test(`that ${gone}: new flows use the next match, and the first again as soon as it is back`, () => {
      const { preferred, standby } = flows(without(interfaces))
      assert.deepEqual([preferred, standby], [[second], []])
      assert.deepEqual(flows(gateways({}, link)).preferred, [first])
    })
  test('answers for its egress IP again as soon as the interface carries traffic', () => {
    const of = gateways({}, link)
    assert.deepEqual(flows(of).order, [worker3, worker4])
    assert.deepEqual([...resolve(of).ownerless], [])
  })
})

describe('a status says which interface carries no traffic', () => {
  const conditionsOf = (of: World) => {
    const [status] = explainPolicies(of)
    const find = (type: string) => status?.conditions.find((each) => each.type === type)
    return { ready: find('Ready'), unusable: find('InterfaceUnusable') }
  }
  test('and which node answers in its place', () => {
    const { ready, unusable } = conditionsOf(gateways({ problem: 'NoCarrier' }, link))
    assert.equal(ready?.status, 'True')
    assert.equal(unusable?.reason, 'NoCarrier')
    assert.equal(
      unusable?.message,
      'Interface net0 of node worker3 has no carrier. Check its cable, or the other end of it. Node worker4 answers for its egress IP.',
    )
  })
  test('and that the policy is not ready if no node does', () => {
    const alone = gateways({ problem: 'Down' }, link)
    const { ready } = conditionsOf({
      ...alone,
      nodes: alone.nodes.map((each) => (each.name === 'worker4' ? { ...each, labels: {} } : each)),
    })
    assert.deepEqual([ready?.status, ready?.reason], ['False', 'InterfaceDown'])
    assert.match(ready?.message ?? '', /Bring it up: ip link set dev net0 up\. Sallyport drops the traffic/)
  })
  test('and that an interface without an Ethernet header cannot be used', () => {
    const { ready, unusable } = conditionsOf(
      gateways({ problem: 'NoEthernetHeader' }, link, {
        nodes: world().nodes.map((each) => (each.name === 'worker4' ? { ...each, labels: {} } : each)),
      }),
    )
    assert.deepEqual([ready?.status, unusable?.reason], ['False', 'NoEthernetHeader'])
    assert.equal(
      ready?.message,
      'Interface net0 of node worker3 has no Ethernet header, which Sallyport needs. Use another interface.',
    )
    assert.match(
      unusable?.message ?? '',
      /net0 of node worker3 has no Ethernet header.*Use another interface\.$/,
    )
  })
  test('and says nothing while all interfaces carry traffic', () => {
    assert.equal(conditionsOf(gateways({}, link)).unusable, undefined)
  })
})

describe('established flows of an egress IP that its gateway’s interface has lost', () => {
  const lingeringOrders = new Map([[first, [worker3, worker4]]]) as never
  const found = (of: World) => {
    const { orphaned, ownerless } = resolve({ ...of, lingeringOrders })
    return [orphaned.get(first), ownerless.has(first)]
  }
  const holding = (name: string, lists: Partial<NodeInterface>) => {
    const of = without([])
    const egressNodes = of.egressNodes.map((each) =>
      each.metadata.name === name
        ? egressNode(name, 3, [device('net0', ['172.18.0.43'], { subnets: link, ...lists })])
        : each,
    )
    return { ...of, egressNodes }
  }
  test('use the next gateway of the exit on its link', () => {
    assert.deepEqual(found(without([device('net0', [])])), [[worker4], true])
    assert.deepEqual(found(without([])), [[worker4], true])
    assert.deepEqual(found(without([], all)), [[worker4], true])
  })
  test('use it still when it has added the address, also if its agent knows no other gateway', () => {
    const of = holding('worker4', { added: [first] })
    assert.deepEqual(found(of), [[worker4], true])
    const restarted = resolve({ ...of, lingeringOrders: new Map([[first, [worker4]]]) as never })
    assert.deepEqual(restarted.orphaned.get(first), [worker4])
  })
  for (const [why, of] of [
    ['a node has the address', holding('worker2', { addresses: [first] })],
    ['the other gateway is not on its link', holding('worker4', { subnets: [] })],
    ['the other gateway’s interface carries no traffic', holding('worker4', { problem: 'NoCarrier' })],
    ['it came from a pool, and the gateway will add it again', { ...without([]), lingeringFromPools: new Set([first]) as never }],
    ['no policy selects the gateway any more', without([], { ciliumPolicies: [] })],
    ['the gateway’s agent has reported nothing', { ...without([]), egressNodes: [] }],
  ] as const) // biome-ignore format: a table
    test(`stay where they are if ${why}`, () => assert.deepEqual(found(of), [undefined, false]))
})

describe('status and list name the gateway whose egress IP new flows get', () => {
  const shown = (of: World) => {
    const [status] = explainPolicies(of)
    const ready = status?.conditions.find(({ type }) => type === 'Ready')
    const rows = compatibleRows({ ...of, self: 'worker4' })
    return [status?.summary.gateways, status?.summary.egressIPs, ready?.message, rows[0]?.EgressIP]
  }
  const usual = ['worker3', first, `worker3 with ${first}`, '0.0.0.0']
  const other = ['worker4', second, `worker4 with ${second}`, second]
  for (const [name, of, expected] of [
    ['the first match', gateways({}, link), usual],
    ['the first match while a successor answers for its egress IP', gateways({ problem: 'Down' }, link), usual],
    ['the next match while nobody answers for the first egress IP', gateways({ problem: 'Down' }, []), other],
    ['the next match while the interface of the first is missing', without([]), other],
  ] as const) // biome-ignore format: a table
    test(name, () => assert.deepEqual(shown(of), expected))

  test('the next match while the first is unhealthy and nobody answers for its egress IP', () => {
    const of = gateways({}, [])
    const nodes = of.nodes.map((each) => (each.name === 'worker3' ? { ...each, isReady: false } : each))
    const [gateway, egressIPs, , row] = shown({ ...of, nodes })
    assert.deepEqual([gateway, egressIPs, row], ['worker4', second, second])
  })
  test('a gateway for each family if no match has both', () => {
    const of = without([device('net0', ['fc00::42'])], {
      ciliumPolicies: [ciliumPolicy('one', { destinationCIDRs: ['0.0.0.0/0', '::/0'] })],
    })
    assert.deepEqual(shown(of).slice(0, 3), [
      'worker3, worker4',
      `fc00::42, ${second}`,
      `worker3 with fc00::42, worker4 with ${second}`,
    ])
  })
  test('a gateway without an egress IP is idle, and the policy is ready by the next match', () => {
    const idle = explainPolicies(without([]))[0]?.conditions.find(({ type }) => type === 'GatewayIdle')
    assert.equal(idle?.reason, 'NoEgressIP')
    assert.match(
      idle?.message ?? '',
      /^Node worker3 has no interface net0\. .* The other gateways carry the traffic\.$/,
    )
  })
})

test('the first in the order takes over an address whose owner has no interface for it, and no other node does', () => {
  const takes = (self: string, ownerless: readonly string[]) =>
    planTakeovers({
      orders: new Map([[first, [worker4, worker3]]]) as never,
      ownerless: new Set(ownerless) as never,
      self: address(self),
      gateways: new Map(),
      taken: new Map(),
      nowMs: 0,
    }).has(first)
  assert.equal(takes('172.18.0.3', ['172.18.0.42']), true)
  assert.equal(takes('172.18.0.3', []), false)
  assert.equal(takes('172.18.0.4', ['172.18.0.42']), false)
})

describe('a gateway on another link than an egress IP that the policy names', () => {
  const named = (egressIP: string, ofWorker3: string, ofWorker4: string): World =>
    world({
      ciliumPolicies: [
        ciliumPolicy('named', {
          egressGateway: { nodeSelector: { matchLabels: { 'egress-gw': 'true' } }, egressIP },
        }),
      ],
      egressNodes: [
        egressNode('worker3', 2, [device('net0', ['172.18.0.42'], { subnets: [ofWorker3] })]),
        egressNode('worker4', 3, [device('net0', ['192.168.9.43'], { subnets: [ofWorker4] })]),
      ],
    })
  const orderOf = (of: World, egressIp: string) => resolve(of).egressIps.get(address(egressIp))?.order

  test('is no successor, because nobody would ask it for the address', () => {
    assert.deepEqual(orderOf(named('172.18.0.42', '172.18.0.0/16', '192.168.9.0/24'), '172.18.0.42'), [
      worker3,
    ])
  })

  test('is one if the network routes the address, because it is on no link of a gateway', () => {
    const routed = orderOf(named('198.51.100.7', '172.18.0.0/16', '192.168.9.0/24'), '198.51.100.7')
    assert.deepEqual(routed?.toSorted(), [worker4, worker3].toSorted())
  })
})

test('under a policy with one gateway, a first match that has not reported its interfaces keeps its place', () => {
  const of = gateways({}, link)
  const egressNodes = of.egressNodes.filter(({ metadata: { name } }) => name !== 'worker3')
  const { preferred = [], standby = [] } = flows({ ...of, egressNodes })
  assert.deepEqual([...preferred, ...standby], [])
})
