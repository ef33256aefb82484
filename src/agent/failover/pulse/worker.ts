import { flushCompileCache } from 'node:module'
import { parentPort, workerData } from 'node:worker_threads'
import { readBtf } from '../../../datapath/layout/btf.ts'
import { Table } from '../../../datapath/maps/table.ts'
import { tableCodecs } from '../../../datapath/tables.ts'
import { LinkQuestions } from '../../../linux/arp.ts'
import { Datagrams } from '../../../linux/datagrams.ts'
import type { Address } from '../../../net/address.ts'
import { probeFrame } from './frame.ts'
import { type Contact, judgeReach, type LinkContact } from './reach.ts'
import { type Order, type PulseData, type Report, timing, type Verdict, type Watched } from './timing.ts'

/*
 * The thread that keeps this node alive in the eyes of others, and watches them. A thread of its own: the agent may be busy
 * for a while without being dead, and must not seem so. Once it has not moved for seconds, it counts as dead here, too.
 */

const { objectFile, maps, shared, tunnelPort } = workerData as PulseData
const port = parentPort ?? fail('this file runs only as a worker thread of the agent')
const codecs = tableCodecs(readBtf(objectFile))
const vitals = new Table(maps.vitals, codecs.liveness.key, codecs.liveness.value)
const heard = new Table(maps.heard, codecs.probed_gateways.key, codecs.probed_gateways.value)
const frame = probeFrame(readBtf(objectFile).enumeration('tunnel').get('TUNNEL_PROBE') ?? 0)
const flags = new Int32Array(shared)
const datagrams = new Datagrams(tunnelPort)

let watched: Watched = { gateways: [], witnesses: [], sharesEgressIp: false }
/** Gateways and witnesses, with the time since which each is probed. */
let probedSince: ReadonlyMap<Address, bigint> = new Map()
let questions: LinkQuestions | undefined
let linkContact: LinkContact = neverAsked()
let distrusted: ReadonlyMap<Address, bigint> = new Map()
const verdicts = new Map<Address, Verdict>()
let isCutOff = false
let alive = vitals.get(0)?.alive_until_ns ?? 0n
let lastTickNs = 0n
let goodTicks = 0
let ticks = 0
let lastBeat = -1
let lastBeatNs = 0n
/** When this node last said that it is well; 0: not yet, or not since it was silent. */
let lastWellNs = 0n
let lapses = 0

function fail(message: string): never {
  throw new Error(message)
}

function tick(): void {
  const now = process.hrtime.bigint()
  const gapNs = lastTickNs === 0n ? 0n : now - lastTickNs
  lastTickNs = now
  /* After a gap nobody may be judged before there was time to hear them again. */
  goodTicks = gapNs > timing.lateNs ? 0 : goodTicks + 1
  if (goodTicks === 0) linkContact = neverAsked()
  if (lastWellNs !== 0n && now - lastWellNs > timing.silenceNs) lapse(now)
  if (isAgentWell(now)) {
    alive = now + timing.aliveNs
    lastWellNs = now
  }
  const isJudging = watched.gateways.length > 0 && goodTicks >= timing.ticksBeforeJudging
  vitals.set(0, { alive_until_ns: alive, probing_until_ns: isJudging ? now + timing.probingNs : 0n })
  if (ticks++ % timing.ticksPerProbe === 0) probe(now)
  if (isJudging) judge(now)
}

/** This node was silent for so long that others went on without it: it is not well before its main thread says so again. */
function lapse(now: bigint): void {
  lapses++
  report({ kind: 'lapsed', lapse: lapses, ms: Number((now - lastWellNs) / 1_000_000n) })
  lastWellNs = 0n
}

/** The agent's main thread says that its tables hold, knowing of the last lapse, and moves. */
function isAgentWell(now: bigint): boolean {
  const beat = Atomics.load(flags, 0)
  if (beat !== lastBeat) lastBeatNs = now
  lastBeat = beat
  return Atomics.load(flags, 1) === lapses + 1 && now - lastBeatNs < timing.stuckNs
}

function probe(now: bigint): void {
  for (const node of probedSince.keys()) datagrams.send(frame, node)
  askLink(now)
}

/** In a cluster of two nodes the other one is asked by ARP as soon as it owes an answer to a probe. */
function askLink(now: bigint): void {
  const [only] = probedSince.keys()
  if (questions === undefined || only === undefined) return
  const last = heard.get(only)?.answered_ns ?? 0n
  if (last + timing.askAfterNs > now) linkContact = { ...linkContact, askedSinceNs: 0n }
  else if (questions.ask(only) && linkContact.askedSinceNs === 0n)
    linkContact = { ...linkContact, askedSinceNs: now }
}

function judge(now: bigint): void {
  const [only] = probedSince.keys()
  if (only !== undefined && questions?.answers().has(only)) linkContact = { ...linkContact, answeredNs: now }
  const contacts = new Map([...probedSince].map(([node, sinceNs]) => [node, contactOf(node, sinceNs)]))
  const reach = judgeReach(contacts, watched.gateways, questions && linkContact, now)
  const changes = [...reach.verdicts].filter(([gateway, now]) => {
    const before = verdicts.get(gateway)
    return before?.isSilent !== now.isSilent || before.isWitnessed !== now.isWitnessed
  })
  for (const [gateway, verdict] of changes) verdicts.set(gateway, verdict)
  noteReach(watched.sharesEgressIp && reach.isCutOff)
  if (changes.length > 0) report({ kind: 'lives', changes })
}

function noteReach(is: boolean): void {
  if (is === isCutOff) return
  isCutOff = is
  report({ kind: 'reach', isCutOff })
}

function contactOf(node: Address, sinceNs: bigint): Contact {
  const { answered_ns = 0n, refused_ns = 0n } = heard.get(node) ?? {}
  return {
    sinceNs,
    answeredNs: answered_ns,
    refusedNs: refused_ns,
    distrustedUntilNs: distrusted.get(node) ?? 0n,
  }
}

/** A node that is probed for the first time counts as reachable until it had time to answer. */
function watch(wanted: Watched): void {
  const now = process.hrtime.bigint()
  const nodes = new Set([...wanted.gateways, ...wanted.witnesses])
  for (const [known] of [...heard.entries()]) if (!nodes.has(known)) heard.delete(known)
  for (const known of [...verdicts.keys()]) if (!wanted.gateways.includes(known)) verdicts.delete(known)
  for (const node of nodes)
    if (!probedSince.has(node)) heard.set(node, { answered_ns: now, refused_ns: 0n, flapping_until_ns: 0n })
  if (watched.gateways.length === 0) goodTicks = 0
  probedSince = new Map([...nodes].map((node) => [node, probedSince.get(node) ?? now]))
  watched = wanted
  if (!wanted.sharesEgressIp) noteReach(false)
  datagrams.keepOnly(nodes)
  openQuestions(wanted.link)
}

function openQuestions(link: Watched['link']): void {
  questions?.[Symbol.dispose]()
  questions = undefined
  linkContact = neverAsked()
  if (link === undefined || probedSince.size !== 1) return
  try {
    questions = new LinkQuestions(link)
  } catch (error) {
    report({ kind: 'unasked', problem: error instanceof Error ? error.message : String(error) })
  }
}

function neverAsked(): LinkContact {
  return { askedSinceNs: 0n, answeredNs: 0n }
}

function distrust(until: ReadonlyMap<Address, bigint>): void {
  distrusted = until
  for (const gateway of watched.gateways) {
    const entry = heard.get(gateway)
    if (entry !== undefined && entry.flapping_until_ns !== (until.get(gateway) ?? 0n))
      heard.set(gateway, { ...entry, flapping_until_ns: until.get(gateway) ?? 0n })
  }
}

/** Who is well stays alive for its successor. Who is not adds nothing to what its predecessor has left. */
function leave(now: bigint): void {
  clearInterval(timer)
  if (isAgentWell(now)) alive = now + timing.graceNs
  vitals.set(0, { alive_until_ns: alive, probing_until_ns: 0n })
}

function report(what: Report): void {
  port.postMessage(what)
}

const timer = setInterval(tick, timing.tickMs)
flushCompileCache()

port.on('message', (order: Order) => {
  switch (order.kind) {
    case 'watch':
      watch(order)
      break
    case 'distrust':
      distrust(order.until)
      break
    case 'leave':
      leave(process.hrtime.bigint())
      report({ kind: 'left' })
      port.close()
  }
})
