import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import {
  address,
  allPorts,
  ciliumPolicy,
  device,
  egressNode,
  isovalentPolicy,
  node,
  world,
} from '../../../test/support/world-builder.ts'
import type { EgressAddress } from '../../api/egress-address.ts'
import type { EgressNode } from '../../api/egress-node.ts'
import { type PortSettings, portBlocks } from '../../net/ports.ts'
import { resolve } from '../resolve.ts'
import type { Tables } from '../tables.ts'
import type { World } from '../world.ts'

type Lease = NonNullable<EgressAddress['spec']['leases']>[number]

function leased(
  text: string,
  leases: readonly Lease[],
  name = text,
  born = '2026-01-01T00:00:00Z',
): EgressAddress {
  return { metadata: { name, creationTimestamp: born }, spec: { address: text, leases: [...leases] } }
}

function ownerOf(of: World, egressIp: string, port: number): number | 'self' | 'stack' | undefined {
  return resolve(of).egressIps.get(address(egressIp))?.blockOwner[port >> 4]
}

/** The ports that a node may use, by pool. */
function pools(tables: Tables): ReadonlyMap<string, readonly number[]> {
  return new Map(
    tables.pools.map(({ address: of, purpose, blocks }) => [
      `${of} ${purpose}`,
      blocks.map((block) => block << 4),
    ]),
  )
}

function restricted(ports: Partial<PortSettings>): Partial<World> {
  return { settings: { ...world().settings, ports: { ...allPorts, ...ports } } }
}

const policy = { ciliumPolicies: [ciliumPolicy('p')] }

describe('a port of an egress IP', () => {
  const cases: readonly {
    name: string
    world?: Partial<World>
    ip?: string
    port: number
    expect: number | 'self' | 'stack' | undefined
  }[] = [
    { name: 'below 1024 is left to the stack', port: 1023, expect: 'stack' },
    { name: 'that is a NodePort is left to the stack', port: 30000, expect: 'stack' },
    { name: 'that is the last NodePort is left to the stack', port: 32767, expect: 'stack' },
    { name: 'of the lower half has no owner before it is leased', port: 29999, expect: undefined },
    {
      name: 'that is excluded is left to the stack, with its block of 16',
      world: restricted({ excluded: [{ first: 65500, last: 65500 }] }),
      port: 65488,
      expect: 'stack',
    },
    {
      name: 'outside the range is left to the stack',
      world: restricted({ range: { first: 32768, last: 60999 } }),
      port: 61008,
      expect: 'stack',
    },
    {
      name: 'that is excluded stays the owner’s whose flows may have it',
      world: restricted({ excluded: [{ first: 32768, last: 32768 + 127 }] }),
      port: 32768 + 64,
      expect: 1,
    },
    {
      name: 'that is excluded stays the lessee’s whose flows may have it',
      world: {
        ...restricted({ range: { first: 32768, last: 65535 } }),
        egressAddresses: [leased('172.18.0.42', [{ firstPort: 2048, blocks: 1, slot: 3 }])],
      },
      port: 2048,
      expect: 3,
    },
    {
      name: 'of the upper half belongs to a slot: the first 64 to slot 0',
      port: 32768 + 63,
      expect: 0,
    },
    {
      name: 'of the upper half belongs to a slot: the next 64 to slot 1',
      port: 32768 + 64,
      expect: 1,
    },
    {
      name: 'of the upper half belongs to a slot: the last 64 to slot 511',
      port: 65535,
      expect: 511,
    },
    {
      name: 'that is leased belongs to the lessee',
      world: { egressAddresses: [leased('172.18.0.42', [{ firstPort: 1024, blocks: 2, slot: 3 }])] },
      port: 1055,
      expect: 3,
    },
    {
      name: 'after the end of a lease does not',
      world: { egressAddresses: [leased('172.18.0.42', [{ firstPort: 1024, blocks: 2, slot: 3 }])] },
      port: 1056,
      expect: undefined,
    },
    {
      name: 'in the floor of another slot belongs to the lessee',
      world: { egressAddresses: [leased('172.18.0.42', [{ firstPort: 65520, blocks: 1, slot: 3 }])] },
      port: 65535,
      expect: 3,
    },
    {
      name: 'below 1024 cannot be leased',
      world: { egressAddresses: [leased('172.18.0.42', [{ firstPort: 1008, blocks: 2, slot: 3 }])] },
      port: 1010,
      expect: 'stack',
    },
    {
      name: 'that is leased twice belongs to the first lessee',
      world: {
        egressAddresses: [
          leased('172.18.0.42', [
            { firstPort: 2048, blocks: 1, slot: 3 },
            { firstPort: 2048, blocks: 1, slot: 1 },
          ]),
        ],
      },
      port: 2048,
      expect: 3,
    },
    {
      name: 'that two objects lease belongs to the lessee of the older object, in any order',
      world: {
        egressAddresses: [
          leased('172.18.0.42', [{ firstPort: 2048, blocks: 1, slot: 1 }], 'b', '2026-02-02T00:00:00Z'),
          leased('172.18.0.42', [{ firstPort: 2048, blocks: 1, slot: 3 }], 'z'),
        ],
      },
      port: 2048,
      expect: 3,
    },
    {
      name: 'belongs to another node even with few slots',
      world: { settings: { ...world().settings, slots: 16 } },
      port: 65535,
      expect: 15,
    },
  ]
  for (const { name, world: parts, ip = '172.18.0.42', port, expect } of cases)
    test(name, () => assert.equal(ownerOf(world({ ...policy, ...parts }), ip, port), expect))
})

describe('a port of a node’s own address', () => {
  const byRoute = {
    ciliumPolicies: [
      ciliumPolicy('p', { egressGateway: { nodeSelector: { matchLabels: { 'egress-gw': 'true' } } } }),
    ],
  }
  const own = (self: string, more: Partial<World> = {}) => world({ ...byRoute, self, ...more })
  test('below 49152 is left to the node’s sockets', () =>
    assert.equal(ownerOf(own('worker3'), '172.18.0.4', 49151), undefined))
  test('up to 57343 is for masquerading', () => {
    assert.deepEqual(
      [49152, 57343].map((port) => ownerOf(own('worker3'), '172.18.0.4', port)),
      ['self', 'self'],
    )
  })
  test('belongs to this node alone for masquerading', () =>
    assert.equal(ownerOf(own('worker'), '172.18.0.4', 49152), undefined))
  test('from 57344 on belongs to a slot, 16 ports each', () => {
    assert.deepEqual(
      [57344, 57359, 57360, 65535].map((port) => ownerOf(own('worker'), '172.18.0.4', port)),
      [0, 0, 1, 511],
    )
  })
  test('is leased only if the node’s sockets do not use it', () => {
    const egressAddresses = [leased('172.18.0.4', [{ firstPort: 1024, blocks: 4032, slot: 3 }])]
    const owners = [1024, 49151, 49152, 57344, 65535].map((port) =>
      ownerOf(own('worker3', { egressAddresses }), '172.18.0.4', port),
    )
    assert.deepEqual(owners, [undefined, undefined, 'self', 3, 3])
  })
})

describe('a node’s pools', () => {
  test('are its floor of every egress IP, and its own address for masquerading', () => {
    const byName = pools(resolve(world({ isovalentPolicies: [isovalentPolicy('p')] })))
    assert.deepEqual([...byName.keys()].sort(), [
      '172.18.0.2 egress', '172.18.0.2 masquerade', '172.18.0.42 egress', '172.18.0.43 egress',
      'fc00::2 egress', 'fc00::2 masquerade', 'fc00::42 egress', 'fc00::43 egress',
    ]) // biome-ignore format: by egress IP
    assert.deepEqual(byName.get('172.18.0.42 egress'), [32768, 32784, 32800, 32816])
    assert.equal(byName.get('172.18.0.2 masquerade')?.length, 512)
  })
  test('grow by its leases', () => {
    const egressAddresses = [
      leased('172.18.0.42', [
        { firstPort: 2048, blocks: 2, slot: 0 },
        { firstPort: 4096, blocks: 9, slot: 1 },
      ]),
    ]
    const byName = pools(resolve(world({ ...policy, egressAddresses })))
    assert.deepEqual(byName.get('172.18.0.42 egress'), [2048, 2064, 32768, 32784, 32800, 32816])
  })
  test('are only for masquerading while it has no slot', () => {
    const byName = pools(resolve(world({ ...policy, egressNodes: [] })))
    assert.deepEqual([...byName.keys()], ['172.18.0.2 masquerade', 'fc00::2 masquerade'])
  })
})

describe('who answers for an egress IP', () => {
  const orderOf = (parts: Partial<World>, ip: string) =>
    resolve(world(parts)).egressIps.get(address(ip))?.order
  const given = (egressIP: string) => ({
    ciliumPolicies: [
      ciliumPolicy('p', {
        egressGateway: { nodeSelector: { matchLabels: { 'egress-gw': 'true' } }, egressIP },
      }),
    ],
  })
  test('is the node whose interface gives it', () =>
    assert.deepEqual(orderOf(policy, '172.18.0.42'), ['172.18.0.4']))
  test('is the node with the given address, before the nodes that a policy names for it', () => {
    assert.deepEqual(orderOf(given('172.18.0.43'), '172.18.0.43'), ['172.18.0.3', '172.18.0.4'])
    assert.deepEqual(orderOf(given('172.18.0.42'), '172.18.0.42'), ['172.18.0.4', '172.18.0.3'])
  })
  test('is each of two nodes with the address, the first by name first', () => {
    const egressNodes = world().egressNodes.map((each) =>
      each.metadata.name === 'worker4' ? egressNode('worker4', 3, [device('net0', ['172.18.0.42'])]) : each,
    )
    assert.deepEqual(orderOf({ ...policy, egressNodes }, '172.18.0.42'), ['172.18.0.4', '172.18.0.3'])
  })
  test('is this node for its own address', () => assert.deepEqual(orderOf({}, 'fc00::2'), ['172.18.0.2']))
  const onLink = (name: string, slot: number, ip: string, subnets: readonly string[]) =>
    egressNode(name, slot, [device('net0', [ip], { subnets: [...subnets] })])
  test('is, after its own node, another gateway of the policy on the same link', () => {
    const egressNodes = [
      onLink('worker3', 2, '172.18.0.42', ['172.18.0.0/16']),
      onLink('worker4', 3, '172.18.0.43', ['172.18.0.0/16']),
    ]
    assert.deepEqual(orderOf({ ...policy, egressNodes }, '172.18.0.42'), ['172.18.0.4', '172.18.0.3'])
    assert.deepEqual(orderOf({ ...policy, egressNodes }, '172.18.0.43'), ['172.18.0.3', '172.18.0.4'])
  })
  test('is not a gateway on another link, where no host would find it', () => {
    const egressNodes = [
      onLink('worker3', 2, '172.18.0.42', ['172.18.0.0/16']),
      onLink('worker4', 3, '192.0.2.43', ['192.0.2.0/24']),
    ]
    assert.deepEqual(orderOf({ ...policy, egressNodes }, '172.18.0.42'), ['172.18.0.4'])
  })
  test('is never another node for a node’s own address', () => {
    const onDefaultRoute = (name: string, slot: number, ip: string) =>
      egressNode(name, slot, [device('eth0', [ip], { subnets: ['172.18.0.0/16'], isDefaultRoute: true })])
    const egressNodes = [
      onDefaultRoute('worker3', 2, '172.18.0.4'),
      onDefaultRoute('worker4', 3, '172.18.0.3'),
    ]
    const isovalentPolicies = [
      isovalentPolicy('p', { egressGroups: [{ nodeSelector: { matchLabels: { 'egress-gw': 'true' } } }] }),
    ]
    const parts = { isovalentPolicies, egressNodes }
    assert.deepEqual(orderOf(parts, '172.18.0.4'), ['172.18.0.4'])
    assert.deepEqual(orderOf(parts, '172.18.0.3'), ['172.18.0.3'])
    assert.deepEqual(orderOf({ ...given('172.18.0.4'), egressNodes }, '172.18.0.4'), ['172.18.0.4'])
  })
  const many = Array.from({ length: 9 }, (_, index) => `gateway${index}`)
  const manyGateways = {
    nodes: [
      ...world().nodes,
      ...many.map((name, index) =>
        node(name, { ips: [`172.18.1.${index}`], labels: { 'egress-gw': 'true' } }),
      ),
    ],
    egressNodes: many.map((name, index) => onLink(name, index + 4, `172.18.2.${index}`, ['172.18.0.0/16'])),
  }
  const successorsUnder = (parts: Partial<World>) =>
    many.map((_, index) => orderOf({ ...manyGateways, ...parts }, `172.18.2.${index}`)?.[1])
  test('is the next match by name under a policy with one gateway', () => {
    assert.equal(successorsUnder({ ciliumPolicies: [ciliumPolicy('p')] })[5], '172.18.1.0')
  })
  test('differs from address to address where a policy spreads', () => {
    const successors = new Set(successorsUnder({ isovalentPolicies: [isovalentPolicy('p')] }))
    assert.ok(successors.size >= 4, `9 addresses have ${successors.size} successors`)
  })
  test('is at most eight nodes', () => {
    const many = Array.from({ length: 20 }, (_, index) =>
      node(`gateway${index}`, { ips: [`172.18.1.${index}`], labels: { 'egress-gw': 'true' } }),
    )
    assert.equal(
      orderOf({ ...given('172.18.0.99'), nodes: [...world().nodes, ...many] }, '172.18.0.99')?.length,
      8,
    )
  })
})

const names = ['worker', 'worker2', 'worker3', 'worker4'] as const
/* Slots may collide and leases overlap: an object that somebody edited must not give a port two owners either. */
const anySlots = fc.array(fc.option(fc.integer({ min: 0, max: 3 }), { nil: undefined }), {
  minLength: 4,
  maxLength: 4,
})
const anyLease = fc.record({
  firstPort: fc.integer({ min: 64, max: 4095 }).map((block) => block * 16),
  blocks: fc.integer({ min: 1, max: 600 }),
  slot: fc.integer({ min: 0, max: 3 }),
})
const anyAddresses = fc.array(
  fc.tuple(fc.constantFrom('172.18.0.42', '172.18.0.43', '172.18.0.4'), fc.array(anyLease, { maxLength: 4 })),
  { maxLength: 3 },
)

test('no two nodes may use the same port of an egress IP, and every gateway knows the owner of each', () => {
  const anyWorld = fc.tuple(anySlots, anyAddresses, fc.boolean()).map(([slots, addresses, byRoute]) => {
    const nodes: EgressNode[] = world().egressNodes.map((each, index) =>
      egressNode(each.metadata.name, slots[index], each.status?.interfaces ?? []),
    )
    const group = {
      nodeSelector: { matchLabels: { 'egress-gw': 'true' } },
      ...(byRoute ? {} : { interface: 'net0' }),
    }
    return world({
      egressNodes: nodes,
      egressAddresses: addresses.map(([ip, leases], index) => leased(ip, leases, `e${index}`)),
      isovalentPolicies: [isovalentPolicy('p', { egressGroups: [group] })],
    })
  })
  fc.assert(
    fc.property(anyWorld, (any) => {
      const views = names.map((self) => ({ self, tables: resolve({ ...any, self }) }))
      const users = new Map<string, string>()
      for (const { self, tables } of views)
        for (const { address: ip, purpose, blocks } of tables.pools)
          for (const block of blocks) {
            const key = `${ip} ${block}`
            assert.equal(users.get(key), undefined, `${key} is used by ${self} and ${users.get(key)}`)
            users.set(key, self)
            if (purpose === 'egress')
              assertAllKnow(
                views.map((view) => view.tables),
                self,
                ip,
                block,
              )
          }
    }),
    { numRuns: 60 },
  )
})

/** On every node the block's owner is the slot of the node that uses it. */
function assertAllKnow(all: readonly Tables[], user: string, ip: string, block: number): void {
  for (const { egressIps, nodes } of all) {
    const owner = egressIps.get(address(ip))?.blockOwner[block]
    if (egressIps.has(address(ip)) && owner !== slotOf(nodes, user))
      assert.fail(`${ip} block ${block} is ${user}'s, but another node says slot ${owner}`)
  }
}

function slotOf(nodes: Tables['nodes'], name: string): number | undefined {
  return [...nodes.values()].find((each) => each.name === name)?.slot
}

test('a table of owners has an entry for every block', () => {
  for (const { blockOwner } of resolve(world(policy)).egressIps.values())
    assert.equal(blockOwner.length, portBlocks)
})

test('a node makes no flow with a port that is excluded, be it of its floor or leased', () => {
  const of = (ports: Partial<PortSettings>) =>
    pools(
      resolve(
        world({
          ...policy,
          ...restricted(ports),
          egressAddresses: [leased('172.18.0.42', [{ firstPort: 2048, blocks: 2, slot: 1 }])],
        }),
      ),
    ).get('172.18.0.42 egress')
  const whole = of({})
  const port = whole?.find((each) => each >= 32768) ?? 0
  const excluded = of({ excluded: [{ first: port + 8, last: port + 8 }] })
  assert.deepEqual(
    excluded,
    whole?.filter((each) => each !== port),
  )
  assert.deepEqual(of({ range: { first: 49152, last: 65535 } })?.filter((port) => port < 49152) ?? [], [])
})
