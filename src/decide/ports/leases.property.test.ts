import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  ApiServer,
  addressOf,
  gateways,
  ModelAgent,
  type Name,
  names,
} from '../../../test/support/lease-model.ts'
import { ModelOperator } from '../../../test/support/lease-model-operator.ts'
import { randomRuns } from '../../../test/support/random-runs.ts'
import { resolve } from '../resolve.ts'
import type { Tables } from '../tables.ts'

/** A cluster at work: who is there, who is silent, and the check after every step. */
class Cluster {
  readonly api = new ApiServer()
  readonly agents = new Map<Name, ModelAgent>(names.map((name) => [name, new ModelAgent(name, this.api)]))
  readonly operators = [new ModelOperator(this.api), new ModelOperator(this.api)] as const
  readonly present = new Set<Name>(names)
  readonly silent = new Set<Name>()
  readonly seen = new Set<string>()
  nowMs = 0

  agent(name: Name): ModelAgent {
    return this.agents.get(name)!
  }

  /** Everything arrives, and everybody acts. */
  settle(rounds: number): void {
    for (let round = 0; round < rounds; round++) {
      this.nowMs += 1_000
      for (const operator of this.operators.slice(0, 1)) {
        operator.view.catchUp()
        this.runOperator(0)
      }
      for (const name of this.present) {
        this.agent(name).view.catchUp()
        this.reconcile(name)
        this.agent(name).send()
        for (let sent = 0; sent < 50; sent++) this.agent(name).arrive()
      }
    }
  }

  relabel(of: Name): void {
    const labelled = new Set(this.api.labelled.at(-1))
    if (!labelled.delete(of)) labelled.add(of)
    this.api.label(labelled)
  }

  runOperator(which: number): void {
    const before = this.api.nodes.length
    this.operators[which]?.run(this.present, this.nowMs)
    if (this.api.nodes.length < before) this.seen.add('a node was gone for four minutes')
  }

  reconcile(name: Name): void {
    const agent = this.agent(name)
    const before = new Set(agent.pool)
    agent.reconcile(this.present, this.silent)
    for (const block of agent.pool) {
      if (before.has(block)) continue
      if (block < 2048) this.seen.add('a lease was taken into use')
      if (block >= 2048 + 4 * 32) this.seen.add('a floor was leased')
      if (block < 2048) this.expectForwarded(agent, block)
    }
    this.expectOneOwner()
  }

  /**
   * Every gateway that the node hears, and sends to, forwards for it; unless it has yet to learn that it may answer for the
   * address.
   */
  expectForwarded(agent: ModelAgent, block: number): void {
    for (const gateway of names)
      if (
        this.present.has(gateway) &&
        !this.silent.has(gateway) &&
        agent.order.includes(addressOf(gateway))
      ) {
        const { blockOwner } = this.agent(gateway)
        if (blockOwner.length > 0)
          assert.equal(blockOwner[block], agent.slot, `${gateway} forwards for ${agent.name}`)
      }
  }

  expectOneOwner(): void {
    const owners = new Map<number, Name>()
    for (const name of this.present)
      for (const block of this.agent(name).pool) {
        assert.equal(owners.get(block), undefined, `${name} and ${owners.get(block)} both use block ${block}`)
        owners.set(block, name)
      }
  }
}

type Step = (cluster: Cluster) => void

const name = fc.constantFrom(...names)
const few = fc.integer({ min: 1, max: 4 })
const blocks = fc.constantFrom(4, 8, 64, 1500, 4032)

const view = fc.tuple(name, fc.constantFrom('nodes' as const, 'addresses' as const, 'labels' as const), few)
const step: fc.Arbitrary<{ toString(): string; run: Step }> = fc.oneof(
  say(view, ([of, kind, count]) => `${of} sees ${count} of ${kind}`, ([of, kind, count]) => (cluster) =>
    cluster.agent(of).view.advance(kind, count)),
  say(name, (of) => `${of} looks`, (of) => (cluster) => act(cluster, of, () => cluster.reconcile(of))),
  say(name, (of) => `${of} sends`, (of) => (cluster) => act(cluster, of, (agent) => agent.send())),
  say(name, (of) => `what ${of} sent arrives`, (of) => (cluster) => act(cluster, of, (agent) => agent.arrive())),
  say(fc.tuple(name, blocks), ([of, count]) => `${of} wants ${count}`, ([of, count]) => (cluster) =>
    act(cluster, of, (agent) => {
      agent.demand = count
    })),
  say(fc.tuple(name, blocks), ([of, count]) => `${of} lets ${count} go`, ([of, count]) => (cluster) =>
    act(cluster, of, (agent) => agent.letGo(count))),
  say(name, (of) => `${of} restarts`, (of) => (cluster) => act(cluster, of, (agent) => agent.restart())),
  say(fc.tuple(fc.constantFrom(0, 1), few), ([of, count]) => `operator ${of} sees ${count}, runs`,
    ([of, count]) => (cluster) => {
      const operator = cluster.operators[of]!
      operator.view.advance('addresses', count)
      operator.view.advance('nodes', count)
      cluster.runOperator(of)
    }),
  say(fc.constantFrom('b' as const, 'g' as const, 'h' as const), (of) => `${of} is labelled, or is not any more`,
    (of) => (cluster) =>
      cluster.relabel(of)),
  say(fc.constantFrom(1, 60, 239, 240), (seconds) => `${seconds} s pass`, (seconds) => (cluster) => {
    cluster.nowMs += seconds * 1_000
  }),
  say(fc.constantFrom('g' as const, 'h' as const), (of) => `${of} becomes unreachable or reachable again`,
    (of) => (cluster) => {
      if (!cluster.silent.has(of)) {
        cluster.silent.add(of)
        return
      }
      if (!cluster.present.has(of)) return
      /* It answers probes once its tables are written from what it has read anew. */
      cluster.agent(of).restart()
      cluster.reconcile(of)
      cluster.silent.delete(of)
    }),
  say(name, (of) => `${of} dies for good, or comes as a new machine`, (of) => (cluster) => {
    if (cluster.present.delete(of)) cluster.agent(of).die()
    else {
      cluster.present.add(of)
      cluster.agent(of).restart()
      cluster.reconcile(of)
    }
  }),
  say(few, (rounds) => `all is quiet for ${rounds}`, (rounds) => (cluster) => cluster.settle(rounds)),
) // biome-ignore format: a step a line

function say<T>(of: fc.Arbitrary<T>, words: (value: T) => string, run: (value: T) => Step) {
  return of.map((value) => ({ toString: () => words(value), run: run(value) }))
}

function act(cluster: Cluster, of: Name, what: (agent: ModelAgent) => void): void {
  if (cluster.present.has(of)) what(cluster.agent(of))
}

test('no port is ever in the pools of two nodes, and gateways forward every port that a node uses', () => {
  const seen = new Set<string>()
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60, size: 'max' }), (steps) => {
      const cluster = new Cluster()
      cluster.settle(3)
      for (const each of steps) {
        each.run(cluster)
        cluster.expectOneOwner()
      }
      for (const what of cluster.seen) seen.add(what)
    }),
    { numRuns: randomRuns(150) },
  )
  for (const what of ['a lease was taken into use', 'a floor was leased', 'a node was gone for four minutes'])
    assert.ok(seen.has(what), `the sequences are too tame: never ${what}`)
})

test('after the last change, every node has the ports that it demands, if there are enough', () => {
  const wishes = fc.tuple(...names.map(() => fc.integer({ min: 0, max: 900 })))
  fc.assert(
    fc.property(fc.array(step, { maxLength: 20 }), wishes, (steps, wanted) => {
      const cluster = new Cluster()
      cluster.settle(3)
      for (const each of steps) each.run(cluster)
      for (const of of names) if (!cluster.present.has(of)) cluster.present.add(of)
      cluster.silent.clear()
      cluster.api.label(new Set(gateways))
      cluster.settle(6)
      for (const of of names) cluster.agent(of).letGo(4032)
      cluster.settle(6)
      for (const [index, of] of names.entries()) cluster.agent(of).demand = wanted[index]!
      cluster.settle(6)
      for (const [index, of] of names.entries())
        assert.ok(
          cluster.agent(of).pool.length >= wanted[index]!,
          `${of} has ${cluster.agent(of).pool.length} of ${wanted[index]} blocks`,
        )
    }),
    { numRuns: randomRuns(40) },
  )
})

/** All that does not depend on the node which decides. Its own addresses are its own business. */
function sameEverywhere({ egressIps, groups, rules, nodes, poolAddresses, policies }: Tables) {
  const own = new Set<string>(names.map(addressOf))
  const shared = [...egressIps].filter(([address]) => !own.has(address))
  return { egressIps: new Map(shared), groups, rules, nodes, poolAddresses, policies }
}

test('two agents with the same objects decide the same', () => {
  let seen = 0
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const cluster = new Cluster()
      cluster.settle(3)
      for (const each of steps) each.run(cluster)
      const tables = [...cluster.present].map((of) => {
        const agent = cluster.agent(of)
        agent.view.catchUp()
        return sameEverywhere(resolve(agent.world(cluster.present, new Set())))
      })
      for (const each of tables) assert.deepEqual(each, tables[0])
      seen += tables[0]?.groups.size ?? 0
    }),
    { numRuns: randomRuns(40) },
  )
  assert.ok(seen > 0, 'the sequences leave no gateway')
})
