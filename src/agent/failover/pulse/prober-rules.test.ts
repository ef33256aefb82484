import assert from 'node:assert/strict'
import { beforeEach, describe, test } from 'node:test'
import fc from 'fast-check'
import { address } from '../../../../test/support/world-builder.ts'
import type { Address } from '../../../net/address.ts'
import type { FromProber, Watched } from './messages.ts'
import {
  type AgentFlags,
  type ProberEffect,
  type ProberEvent,
  startOfProber,
  stepProber,
} from './prober-rules.ts'
import { timing } from './timing.ts'

const gateway = address('192.0.2.9')
const witness = address('192.0.2.8')
const link = { ifindex: 2, mac: '02:00:00:00:00:01', address: address('192.0.2.7') }
const both: Watched = { gateways: [gateway], witnesses: [witness], sharesEgressIp: true }

/** A prober whose agent beats; nodes answer each probe at once, or never. */
class Ticking {
  state = startOfProber(0n)
  nowMs = 1_000_000
  effects: ProberEffect[] = []
  flags: AgentFlags = { beat: 0, aliveAfterAbsence: 1 }
  isBeating = true
  readonly answering = new Set<Address>()
  readonly answeredNs = new Map<Address, bigint>()
  hasLinkAnswered = false

  get nowNs(): bigint {
    return BigInt(this.nowMs) * 1_000_000n
  }

  step(event: ProberEvent): void {
    const { state, effects } = stepProber(this.state, event, this.nowNs)
    this.state = state
    this.effects.push(...effects)
    for (const effect of effects) {
      if (effect.kind === 'probe')
        for (const node of effect.nodes) if (this.answering.has(node)) this.answeredNs.set(node, this.nowNs)
      if (effect.kind === 'track') for (const node of effect.fresh) this.answeredNs.set(node, this.nowNs)
      if (effect.kind === 'askLink') this.step({ kind: 'linkAsked' })
    }
  }

  tick(): void {
    if (this.isBeating) this.flags = { ...this.flags, beat: this.flags.beat + 1 }
    const answers = new Map(
      [...this.answeredNs].map(([node, answeredNs]) => [node, { answeredNs, refusedNs: 0n }] as const),
    )
    this.step({ kind: 'tick', flags: this.flags, answers, hasLinkAnswered: this.hasLinkAnswered })
  }

  run(ms: number): void {
    for (const end = this.nowMs + ms; this.nowMs < end; this.nowMs += timing.tickMs) this.tick()
  }

  get aliveForMs(): number {
    return Number(this.state.aliveUntilNs - this.nowNs) / 1e6
  }

  reports<K extends FromProber['kind']>(kind: K): Extract<FromProber, { readonly kind: K }>[] {
    return this.effects.flatMap((effect) =>
      effect.kind === 'report' && effect.report.kind === kind
        ? [effect.report as Extract<FromProber, { readonly kind: K }>]
        : [],
    )
  }

  isUnreachable(): boolean | undefined {
    return this.state.verdicts.get(gateway)?.isUnreachable
  }
}

describe('a prober', () => {
  let prober: Ticking
  beforeEach(() => {
    prober = new Ticking()
  })

  test('keeps its node alive for 200 ms at a time once the tables hold', () => {
    prober.flags = { beat: 0, aliveAfterAbsence: 0 }
    prober.run(1_000)
    assert.ok(prober.aliveForMs < 0)
    prober.flags = { ...prober.flags, aliveAfterAbsence: 1 }
    prober.tick()
    assert.equal(prober.aliveForMs, 200)
  })

  test('that stood still for longer than others wait reports an absence, and is alive again only when the agent knows of it', () => {
    prober.run(500)
    prober.nowMs += 360
    prober.tick()
    assert.deepEqual(
      prober.reports('absent').map(({ absence }) => absence),
      [1],
    )
    prober.run(1_000)
    assert.ok(prober.aliveForMs < 0)
    prober.flags = { ...prober.flags, aliveAfterAbsence: 2 }
    prober.tick()
    assert.equal(prober.aliveForMs, 200)
    assert.equal(prober.reports('absent').length, 1)
  })

  test('whose agent does not move for three seconds lets the node count as dead', () => {
    prober.run(500)
    prober.isBeating = false
    prober.run(2_900)
    assert.ok(prober.aliveForMs > 0)
    prober.run(800)
    assert.equal(prober.reports('absent').length, 1)
    assert.ok(prober.aliveForMs < 0)
  })

  test('that leaves in good order keeps its node alive for a minute, and does nothing more', () => {
    prober.run(500)
    prober.step({ kind: 'leave', flags: prober.flags })
    assert.equal(prober.aliveForMs, 60_000)
    prober.effects = []
    prober.run(500)
    assert.deepEqual(prober.effects, [])
  })

  test('that leaves before it was ever alive adds nothing', () => {
    prober.flags = { beat: 0, aliveAfterAbsence: 0 }
    prober.run(500)
    prober.step({ kind: 'leave', flags: prober.flags })
    assert.ok(prober.aliveForMs < 0)
  })

  test('probes every 100 ms, and judges from the fifth tick on', () => {
    prober.step({ kind: 'watch', watched: both })
    prober.run(1_000)
    assert.equal(prober.effects.filter(({ kind }) => kind === 'probe').length, 10)
    const fresh = new Ticking()
    fresh.step({ kind: 'watch', watched: both })
    fresh.run(4 * timing.tickMs)
    assert.equal(fresh.isUnreachable(), undefined)
    fresh.run(timing.tickMs)
    assert.equal(fresh.isUnreachable(), false)
  })

  test('reports a gateway that stops answering while a witness answers, and its return', () => {
    prober.step({ kind: 'watch', watched: both })
    prober.answering.add(gateway).add(witness)
    prober.run(1_000)
    prober.answering.delete(gateway)
    prober.run(500)
    assert.deepEqual(prober.state.verdicts.get(gateway), { isUnreachable: true, isWitnessed: true })
    prober.answering.add(gateway)
    prober.run(200)
    assert.equal(prober.isUnreachable(), false)
  })

  test('reports once that no node answers, and once that a node answers again', () => {
    prober.step({ kind: 'watch', watched: both })
    prober.answering.add(gateway).add(witness)
    prober.run(1_000)
    prober.answering.clear()
    prober.run(2_000)
    prober.answering.add(witness)
    prober.run(500)
    assert.deepEqual(
      prober.reports('reach').map(({ isCutOff }) => isCutOff),
      [true, false],
    )
  })

  test('judges no gateway right after it stood still', () => {
    prober.step({ kind: 'watch', watched: both })
    prober.answering.add(gateway).add(witness)
    prober.run(1_000)
    prober.nowMs += 5_000
    prober.tick()
    prober.run(500)
    assert.deepEqual(prober.reports('verdicts').length, 1, 'the first, that the gateway is reachable')
  })

  test('asks the only other node by ARP when it owes an answer, and believes that', () => {
    prober.step({
      kind: 'watch',
      watched: { gateways: [gateway], witnesses: [], sharesEgressIp: true, link },
    })
    prober.answering.add(gateway)
    prober.run(1_000)
    assert.equal(
      prober.effects.some(({ kind }) => kind === 'askLink'),
      false,
    )
    prober.answering.clear()
    prober.hasLinkAnswered = true
    prober.run(1_000)
    assert.deepEqual(prober.state.verdicts.get(gateway), { isUnreachable: true, isWitnessed: false })
    prober.hasLinkAnswered = false
    prober.run(400)
    assert.deepEqual(prober.state.verdicts.get(gateway), { isUnreachable: true, isWitnessed: true })
  })

  test('forgets what it knew of a node that it does not probe any more', () => {
    prober.step({ kind: 'watch', watched: both })
    prober.run(500)
    prober.step({ kind: 'watch', watched: { ...both, gateways: [] } })
    assert.equal(prober.isUnreachable(), undefined)
    assert.deepEqual([...prober.state.probedSinceNs.keys()], [witness])
  })
})

test('whatever the ticks and flags, a node counts as alive only after its agent said so for the latest absence', () => {
  const pause = fc.constantFrom(10, 50, 90, 210, 360, 4_000)
  const flags = fc.record({ beats: fc.boolean(), knows: fc.integer({ min: 0, max: 3 }) })
  fc.assert(
    fc.property(fc.array(fc.tuple(pause, flags), { maxLength: 80, size: 'max' }), (steps) => {
      const prober = new Ticking()
      for (const [ms, { beats, knows }] of steps) {
        prober.nowMs += ms
        prober.isBeating = beats
        prober.flags = { ...prober.flags, aliveAfterAbsence: knows }
        prober.tick()
        if (knows !== prober.state.absences + 1) assert.ok(prober.aliveForMs < 200, 'it was prolonged')
      }
    }),
  )
})
