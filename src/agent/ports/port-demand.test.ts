import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { address, ciliumPolicy, world } from '../../../test/support/world-builder.ts'
import type { EgressAddress, PortLease } from '../../api/egress-address.ts'
import type { EgressNode } from '../../api/egress-node.ts'
import type { Fullness } from '../../decide/ports/lease-demand.ts'
import { resolve } from '../../decide/resolve.ts'
import type { World } from '../../decide/world.ts'
import { stepPorts } from './port-demand.ts'
import {
  ownLeases,
  type PortEvent,
  type PortReport,
  type PortState,
  portProblems,
  portReport,
  startOfPorts,
} from './port-state.ts'

const ip = address('172.18.0.42')
const idleMs = 600

function leased(leases: readonly PortLease[], generation: number, uid: string): EgressAddress {
  return { metadata: { name: '172-18-0-42', generation, uid }, spec: { address: ip, leases: [...leases] } }
}

/** A node of slot 0 at work, in a cluster of which it sees what it is given; the gateway has always confirmed. */
class Node {
  state: PortState = startOfPorts(idleMs)
  nowMs = 0
  pool: readonly number[] = []
  fullness: Fullness = { taken: 64, size: 64 }
  #status: EgressNode['status'] = {}

  /** Answers with the kinds of what follows. */
  step(event: PortEvent, nowMs = this.nowMs): readonly string[] {
    const { state, effects } = stepPorts(this.state, event, nowMs)
    this.state = state
    return effects.map(({ kind }) => kind)
  }

  press(nowMs: number): readonly string[] {
    return this.step({ kind: 'pressure', address: ip, refused: 0, fullness: this.fullness }, nowMs)
  }

  get report(): PortReport {
    return portReport(this.state)
  }

  problems(nowMs: number): readonly string[] {
    return portProblems(this.state, nowMs)
  }

  /** `confirmed`: of which object the gateway has. */
  look(leases: readonly PortLease[], generation: number, uid = 'first', confirmed = uid): readonly string[] {
    const given = world({
      ciliumPolicies: [ciliumPolicy('p')],
      egressAddresses: [leased(leases, generation, uid)],
    })
    const status = (name: string): EgressNode['status'] =>
      name === 'worker3' ? { confirmed: [{ address: ip, revision: generation, uid: confirmed }] } : {}
    const egressNodes = given.egressNodes.map((each) => ({
      ...each,
      status: {
        ...each.status,
        ...status(each.metadata.name),
        ...(each.metadata.name === 'worker' ? this.#status : {}),
      },
    }))
    this.step({ kind: 'observed', world: { ...given, egressNodes } })
    const seen: World = { ...given, egressNodes, ownLeases: ownLeases(this.state) }
    const tables = resolve(seen)
    this.pool = tables.pools.find((pool) => pool.address === ip)?.blocks ?? []
    const effects = this.step({ kind: 'applied', world: seen, tables })
    this.#status = this.report
    return effects
  }

  sweep(afterMs: number, used: readonly number[] = []): void {
    this.nowMs += afterMs
    const flows = new Map(used.map((block) => [block, 1]))
    this.step({ kind: 'swept', uses: new Map([[ip, { flows, most: used.length }]]) })
    this.#status = this.report
  }

  released() {
    return this.report.released
  }

  /** The process dies, and another one begins: it has its own status and the kernel's pools. */
  restart(): void {
    this.state = startOfPorts(idleMs)
    this.step({ kind: 'restored', pools: new Map([[ip, this.pool]]) })
  }
}

const lease = { firstPort: 2048, blocks: 4, slot: 0 }
const blocks = [128, 129, 130, 131]
const floor = [2048, 2049, 2050, 2051]

describe('an EgressAddress that was deleted and created again', () => {
  test('does not count as confirmed because the previous object was, even if its leases look the same', () => {
    const node = new Node()
    node.look([lease], 7)
    assert.deepEqual(node.pool, [...blocks, ...floor])
    node.look([lease], 7, 'second', 'first')
    assert.deepEqual(node.pool, floor)
    node.look([lease], 7, 'second')
    assert.deepEqual(node.pool, [...blocks, ...floor])
  })

  test('is not given back what was given back of the one before', () => {
    const node = new Node()
    node.look([lease], 7)
    node.sweep(0)
    node.sweep(idleMs)
    node.look([lease], 7)
    node.sweep(1)
    assert.equal(node.released()[0]?.uid, 'first')
    node.look([lease], 7, 'second')
    assert.deepEqual(node.released(), [])
    assert.deepEqual(node.pool, [...blocks, ...floor])
  })
})

test('a gateway that does not confirm is named after a while, until it has', () => {
  const node = new Node()
  node.look([lease], 7, 'first', 'nothing')
  assert.deepEqual(node.problems(9_999), [])
  node.look([lease], 7, 'first', 'nothing')
  assert.deepEqual(node.problems(10_000), [
    'This node waits for worker3 to confirm ports of egress IP 172.18.0.42 that the operator leased to it. Check that the agents there run.',
  ])
  node.look([lease], 7)
  assert.deepEqual(node.problems(99_999), [])
  node.look([lease], 8, 'first', 'nothing')
  assert.deepEqual(node.problems(99_999), [], 'nothing new is this node’s')
})

describe('the ports that a node demands and releases', () => {
  test('under pressure it demands ports, and reports when the demand is met', () => {
    const node = new Node()
    node.look([], 1)
    assert.deepEqual(node.press(0), ['report'])
    assert.deepEqual(node.report.demand, [{ address: ip, blocks: 4 }])
    assert.deepEqual(node.press(10), [])
    assert.deepEqual(node.look([lease], 2), ['fulfilled', 'report'])
    assert.deepEqual(node.pool, [...blocks, ...floor])
    assert.deepEqual(node.press(20), ['report'])
    assert.deepEqual(node.report.demand, [{ address: ip, blocks: 8 }])
  })

  test('what is idle leaves the pool, is given back at the look after, and forgotten when it is gone', () => {
    const node = new Node()
    node.press(0)
    node.look([lease], 2)
    node.sweep(0)
    node.sweep(idleMs)
    assert.equal(node.released().length, 0)
    node.look([lease], 2)
    assert.deepEqual(node.pool, floor)
    node.sweep(1)
    assert.deepEqual(node.report, {
      demand: [],
      confirmed: [],
      heaviest: [],
      released: [{ address: ip, firstPort: 2048, blocks: 4, revision: 2, uid: 'first' }],
    })
    node.look([{ ...lease, isEnding: true }], 3)
    assert.equal(node.released()[0]?.revision, 3)
    node.look([], 4)
    assert.equal(node.released().length, 0)
  })

  test('what the kernel’s pool still has is not given back', () => {
    const node = new Node()
    node.look([lease], 2)
    node.sweep(0)
    node.sweep(idleMs)
    node.sweep(1)
    assert.equal(node.released().length, 0)
  })

  test('pressure keeps what was about to leave', () => {
    const node = new Node()
    node.look([lease], 2)
    node.sweep(0)
    node.sweep(idleMs)
    assert.deepEqual(node.press(node.nowMs), ['report', 'reconcile'])
    node.look([lease], 2)
    assert.deepEqual(node.pool, [...blocks, ...floor])
  })

  test('an agent that starts again uses the ports that its node used, and not those that it had released', () => {
    const node = new Node()
    node.press(0)
    node.look([lease], 2)
    node.restart()
    node.look([lease], 2)
    assert.deepEqual(node.pool, [...blocks, ...floor])
    assert.deepEqual(node.report.demand, [{ address: ip, blocks: 4 }])
    node.sweep(0)
    node.sweep(idleMs)
    node.look([lease], 2)
    node.sweep(1)
    node.restart()
    node.look([lease], 2)
    assert.deepEqual(node.pool, floor)
    assert.equal(node.released()[0]?.blocks, 4)
  })
})
