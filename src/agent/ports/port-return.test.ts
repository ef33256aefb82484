import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { address, allPorts, ciliumPolicy, world } from '../../../test/support/world-builder.ts'
import type { EgressAddress } from '../../api/egress-address.ts'
import type { EgressNode } from '../../api/egress-node.ts'
import type { Fullness } from '../../decide/ports/lease-demand.ts'
import { planLeases } from '../../decide/ports/lease-grants.ts'
import { resolve } from '../../decide/resolve.ts'
import type { World } from '../../decide/world.ts'
import { type PortSettings, usableBlocks } from '../../net/ports.ts'
import { stepPorts } from './port-demand.ts'
import { ownLeases, type PortState, portReport, startOfPorts } from './port-state.ts'

const ip = address('172.18.0.42')
const names = ['worker', 'worker2'] as const
type Name = (typeof names)[number]

/** Two nodes with pods and an operator. What one writes, the others see in the next round: some ten milliseconds. */
class Cluster {
  readonly states = new Map<string, PortState>(names.map((name) => [name, startOfPorts(600_000)]))
  readonly pools = new Map<string, readonly number[]>()
  /** Flows of each node: by block, how many. */
  readonly flows = new Map<string, Map<number, number>>(names.map((name) => [name, new Map()]))
  readonly silent = new Set<Name>()
  egressNodes: readonly EgressNode[] = world().egressNodes
  egressAddress: EgressAddress | undefined
  ports: PortSettings = allPorts
  nowMs = 0

  worldOf(self: Name): World {
    const given = world()
    return world({
      self,
      ciliumPolicies: [ciliumPolicy('p')],
      egressNodes: this.egressNodes,
      egressAddresses: this.egressAddress === undefined ? [] : [this.egressAddress],
      settings: { ...given.settings, ports: this.ports },
    })
  }

  step(name: Name, event: Parameters<typeof stepPorts>[1]): void {
    this.states.set(name, stepPorts(this.states.get(name)!, event, this.nowMs).state)
  }

  press(name: Name, fullness: Fullness): void {
    this.step(name, { kind: 'pressure', address: ip, refused: 0, fullness })
  }

  /** Flows to one destination have nearly all that the node has. */
  crowd(name: Name): void {
    const pool = this.pools.get(name)!
    const flows = this.flows.get(name)!
    for (const block of pool) flows.set(block, 15)
    this.press(name, { taken: pool.length * 15, size: pool.length * 16 })
  }

  agent(name: Name): void {
    const seen = this.worldOf(name)
    this.step(name, { kind: 'observed', world: seen })
    const withOwn = { ...seen, ownLeases: ownLeases(this.states.get(name)!) }
    const tables = resolve(withOwn)
    this.pools.set(name, tables.pools.find((pool) => pool.address === ip)?.blocks ?? [])
    this.step(name, { kind: 'applied', world: withOwn, tables })
    const flows = this.flows.get(name)!
    const most = [...flows.values()].reduce((sum, count) => sum + count, 0)
    this.step(name, { kind: 'swept', uses: new Map([[ip, { flows, most }]]) })
    this.report(name, portReport(this.states.get(name)!))
  }

  report(name: string, status: EgressNode['status']): void {
    this.egressNodes = this.egressNodes.map((each) =>
      each.metadata.name === name ? { ...each, status: { ...each.status, ...status } } : each,
    )
  }

  operator(): void {
    const { egressAddress: object, egressNodes } = this
    const [plan] = planLeases({
      egressNodes,
      egressAddresses: object === undefined ? [] : [object],
      present: new Set(egressNodes.map(({ metadata }) => metadata.name)),
      gone: new Set(),
      orphaned: new Set(),
      nodeAddresses: new Set(),
      lingering: new Map(),
      usable: usableBlocks(this.ports),
      given: {
        slots: 512,
        taken: new Set(egressNodes.flatMap(({ spec }) => spec?.slot ?? [])),
        withLeasedFloor: new Set(),
      },
    })
    if (plan === undefined || !plan.isChanged) return
    const { leases, isShort, returns } = plan
    const generation = (object?.metadata.generation ?? 0) + 1
    this.egressAddress = {
      metadata: { name: '172-18-0-42', generation, uid: 'a' },
      spec: { address: ip, leases: [...leases], isShort, returns: [...returns] },
    }
    /* Gateways confirm at once. */
    for (const name of ['worker3', 'worker4'])
      this.report(name, { confirmed: [{ address: ip, revision: generation, uid: 'a' }] })
  }

  rounds(count: number, roundMs = 50): void {
    for (let round = 0; round < count; round++) {
      this.nowMs += roundMs
      this.operator()
      for (const name of names) if (!this.silent.has(name)) this.agent(name)
      this.expectOneOwner()
    }
  }

  expectOneOwner(): void {
    const [one, other] = names.map((name) => new Set(this.pools.get(name)))
    assert.ok(
      [...one!].every((block) => !other!.has(block)),
      'a block is in two pools',
    )
  }

  portsOf(name: Name): number {
    return (this.pools.get(name)?.length ?? 0) * 16
  }
}

/** `worker` has nearly all ports of the address. */
function hoarded(): Cluster {
  const cluster = new Cluster()
  cluster.rounds(1)
  for (let round = 0; round < 60; round++) {
    const size = cluster.portsOf('worker')
    cluster.press('worker', { taken: Math.floor(size * 0.9), size })
    cluster.rounds(3)
  }
  assert.ok(cluster.portsOf('worker') > 58_000, `${cluster.portsOf('worker')} ports`)
  return cluster
}

describe('a node that has nearly all ports of an egress IP', () => {
  test('returns idle ones within a second when another node needs them', () => {
    const cluster = hoarded()
    cluster.crowd('worker2')
    cluster.rounds(20)
    assert.ok(cluster.portsOf('worker2') >= 120, `${cluster.portsOf('worker2')} ports`)
  })

  test('returns no more blocks than requested, and none that open flows use', () => {
    const cluster = hoarded()
    const before = cluster.portsOf('worker')
    const flows = cluster.flows.get('worker')!
    for (const block of cluster.pools.get('worker')!) flows.set(block, 6)
    cluster.crowd('worker2')
    cluster.rounds(20)
    assert.ok(cluster.portsOf('worker') >= before - 2_048, `${cluster.portsOf('worker')} of ${before} ports`)
    const [ended] = [...flows.keys()].filter((block) => !cluster.pools.get('worker')!.includes(block))
    assert.ok(ended !== undefined, 'no block has left the pool')
    assert.equal(cluster.portsOf('worker2'), 64, 'open flows keep their ports')
    for (const block of [...flows.keys()])
      if (!cluster.pools.get('worker')!.includes(block)) flows.delete(block)
    cluster.rounds(20)
    assert.ok(cluster.portsOf('worker2') >= 120, `${cluster.portsOf('worker2')} ports`)
  })

  test('keeps all of them while its agent does not run, and no port has two owners', () => {
    const cluster = hoarded()
    const before = cluster.portsOf('worker')
    cluster.silent.add('worker')
    cluster.crowd('worker2')
    cluster.rounds(40)
    assert.equal(cluster.portsOf('worker'), before)
    cluster.silent.clear()
    cluster.rounds(20)
    assert.ok(cluster.portsOf('worker2') >= 120, `${cluster.portsOf('worker2')} ports`)
  })
})

test('a port that is excluded is returned when its flows have ended, and nobody gets it', () => {
  const cluster = hoarded()
  cluster.ports = { range: { first: 32_768, last: 65_535 }, excluded: [] }
  const low = cluster.pools.get('worker')!.filter((block) => block < 2048)
  assert.ok(low.length > 0)
  const flows = cluster.flows.get('worker')!
  flows.set(low[0]!, 1)
  cluster.rounds(20)
  const leased = (): readonly number[] =>
    (cluster.egressAddress?.spec.leases ?? [])
      .map(({ firstPort }) => firstPort)
      .filter((port) => port < 32_768)
  assert.deepEqual(leased(), [low[0]! * 16])
  assert.ok(cluster.pools.get('worker')!.every((block) => block >= 2048))
  flows.clear()
  cluster.rounds(20)
  assert.deepEqual(leased(), [])
})

test('a node whose floor is out of range requests ports before its first flow', () => {
  const cluster = new Cluster()
  cluster.ports = { range: { first: 49_152, last: 65_535 }, excluded: [] }
  cluster.rounds(6)
  assert.equal(cluster.portsOf('worker'), 64)
})

test('the steady number of ports is twice what the busiest destination needs, and a little', () => {
  const cluster = new Cluster()
  cluster.rounds(1)
  /* 300 questions a second to one DNS server, each for 5 s. */
  const taken = 300 * 5
  for (let second = 0; second < 600; second++) {
    const size = cluster.portsOf('worker')
    cluster.press('worker', { taken: Math.min(taken, size), size })
    cluster.rounds(2, 500)
  }
  const ports = cluster.portsOf('worker')
  assert.ok(ports >= 2 * taken && ports <= 2 * taken + 1_024, `${ports} ports`)
})
