import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { parseAddress } from '../../../net/address.ts'
import { type Contact, judgeReach, type LinkContact } from './reach.ts'

const address = (text: string) => parseAddress(text) ?? assert.fail(text)
const gateway = address('172.18.0.4')
const [witness, other] = [address('172.18.0.2'), address('172.18.0.5')]
const ms = 1_000_000n
const now = 1_000_000n * ms
const ago = (milliseconds: number): bigint => now - BigInt(milliseconds) * ms
const probedLongAgo = { sinceNs: ago(60_000), answeredNs: 0n, refusedNs: 0n, avoidedUntilNs: 0n }
const answered = (milliseconds: number): Contact => ({ ...probedLongAgo, answeredNs: ago(milliseconds) })
const refused = (milliseconds: number): Contact => ({ ...probedLongAgo, refusedNs: ago(milliseconds) })
const never: Contact = probedLongAgo

interface Case {
  readonly name: string
  readonly gateway: Contact
  readonly others?: readonly Contact[]
  readonly link?: LinkContact
  readonly expect: 'reachable' | 'takeover' | 'wait'
  readonly isCutOff: boolean
}

const cases: readonly Case[] = [
  { name: 'a gateway that answers is reachable', gateway: answered(80), others: [answered(80)], expect: 'reachable', isCutOff: false },
  { name: 'a gateway that is silent while a witness answers may be replaced', gateway: answered(360), others: [answered(60)], expect: 'takeover', isCutOff: false },
  { name: 'a gateway that fell silent in the same round as the witnesses may not', gateway: answered(360), others: [answered(300)], expect: 'wait', isCutOff: false },
  { name: 'nor one that fell silent with all witnesses long ago', gateway: answered(9_000), others: [answered(9_050)], expect: 'wait', isCutOff: true },
  { name: 'one witness of several is enough', gateway: answered(360), others: [never, answered(60)], expect: 'takeover', isCutOff: false },
  { name: 'a witness that refuses shows as much as one that answers', gateway: answered(360), others: [refused(60)], expect: 'takeover', isCutOff: false },
  { name: 'a witness that answered two rounds ago is no proof', gateway: answered(9_000), others: [answered(210)], expect: 'wait', isCutOff: false },
  { name: 'a gateway that refuses may be replaced without any witness', gateway: refused(60), others: [never], expect: 'takeover', isCutOff: false },
  { name: 'a refusal that is old shows nothing', gateway: refused(9_000), others: [answered(9_000)], expect: 'wait', isCutOff: true },
  { name: 'a gateway that is avoided for its many deaths, and answers, may be replaced', gateway: { ...answered(60), avoidedUntilNs: now + ms }, others: [never], expect: 'takeover', isCutOff: false },
  { name: 'answers to an earlier agent show nothing', gateway: { ...never, sinceNs: ago(400) }, others: [{ ...answered(450), sinceNs: ago(400) }], expect: 'wait', isCutOff: true },
  { name: 'the only other node is replaced when ARP finds it dead, too', gateway: answered(500), link: { askedSinceNs: ago(300), answeredNs: 0n }, expect: 'takeover', isCutOff: false },
  { name: 'the only other node is not replaced while it answers ARP', gateway: answered(5_000), link: { askedSinceNs: ago(4_900), answeredNs: ago(100) }, expect: 'wait', isCutOff: true },
  { name: 'nor before it had time to answer ARP', gateway: answered(360), link: { askedSinceNs: ago(299), answeredNs: 0n }, expect: 'wait', isCutOff: true },
  { name: 'nor where ARP cannot ask', gateway: answered(5_000), expect: 'wait', isCutOff: true },
  { name: 'what ARP says counts in a cluster of two nodes alone', gateway: answered(5_000), others: [never], link: { askedSinceNs: ago(4_900), answeredNs: 0n }, expect: 'wait', isCutOff: true },
] // biome-ignore format: a table

describe('what the answers to probes show', () => {
  for (const { name, gateway: contact, others = [], link, expect, isCutOff } of cases)
    test(name, () => {
      const contacts = new Map([[gateway, contact], ...others.map((each, index) => [[witness, other][index] ?? other, each] as const)]) // biome-ignore format: one line
      const reach = judgeReach(contacts, [gateway], link, now)
      const verdict = reach.verdicts.get(gateway)
      const seen = verdict?.isUnreachable ? (verdict.isWitnessed ? 'takeover' : 'wait') : 'reachable'
      assert.deepEqual({ seen, isCutOff: reach.isCutOff }, { seen: expect, isCutOff })
    })
})

/** A probe to every node each 100 ms; each answer takes up to 40 ms and is judged every 50 ms until well after the cut. */
test('a node that is cut off from all others at any moment never concludes that a gateway is dead', () => {
  const arrivals = fc.array(fc.integer({ min: 0, max: 40 }), { minLength: 3, maxLength: 3 })
  fc.assert(
    fc.property(arrivals, fc.integer({ min: 5_000, max: 5_400 }), (delays, cutMs) => {
      const nodes = [gateway, witness, other]
      for (let nowMs = 5_000; nowMs < 9_000; nowMs += 50) {
        const contacts = new Map(
          nodes.map((node, index) => {
            const delay = delays[index] ?? 0
            const lastProbe = Math.floor((Math.min(nowMs, cutMs) - delay) / 100) * 100
            return [node, { ...never, sinceNs: 0n, answeredNs: BigInt(lastProbe + delay) * ms }] as const
          }),
        )
        const { verdicts } = judgeReach(contacts, [gateway], undefined, BigInt(nowMs) * ms)
        assert.notEqual(verdicts.get(gateway)?.isWitnessed, true, `at ${nowMs} ms`)
      }
    }),
  )
})

test('a gateway that dies is noticed as fast with witnesses as without them', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 99 }), (phase) => {
      const diedMs = 5_000 + phase
      const verdictAt = (nowMs: number) => {
        const contacts = new Map([
          [gateway, { ...never, sinceNs: 0n, answeredNs: BigInt(Math.floor(diedMs / 100) * 100 + 1) * ms }],
          [witness, { ...never, sinceNs: 0n, answeredNs: BigInt(Math.floor(nowMs / 100) * 100 + 1) * ms }],
        ])
        return judgeReach(contacts, [gateway], undefined, BigInt(nowMs) * ms).verdicts.get(gateway)
      }
      const noticed = Array.from({ length: 200 }, (_, index) => diedMs + index * 5).find(
        (nowMs) => verdictAt(nowMs)?.isUnreachable,
      )
      assert.equal(noticed !== undefined && verdictAt(noticed)?.isWitnessed, true)
    }),
  )
})
