import { flushCompileCache } from 'node:module'
import { parentPort, workerData } from 'node:worker_threads'
import { readBtf } from '../../datapath/btf.ts'
import { Datagrams } from '../../datapath/datagrams.ts'
import { Table } from '../../datapath/table.ts'
import { tableCodecs } from '../../datapath/tables.ts'
import type { Address } from '../../net/address.ts'
import { probeFrame } from './frame.ts'
import { type Order, type PulseData, type Report, timing } from './terms.ts'

/*
 * The thread that keeps this node alive in the eyes of others, and watches them. A thread of its own: the agent may be busy
 * for a while without being dead, and must not seem so. Once it has not moved for seconds, it counts as dead here, too.
 */

const { objectFile, maps, shared, tunnelPort } = workerData as PulseData
const port = parentPort ?? fail('this file is a worker thread of the agent')
const codecs = tableCodecs(readBtf(objectFile))
const vitals = new Table(maps.vitals, codecs.vitals.key, codecs.vitals.value)
const heard = new Table(maps.heard, codecs.heard.key, codecs.heard.value)
const frame = probeFrame(readBtf(objectFile).enumeration('tunnel').get('TUNNEL_PROBE') ?? 0)
const flags = new Int32Array(shared)
const datagrams = new Datagrams(tunnelPort)

let gateways: readonly Address[] = []
let distrusted: ReadonlyMap<Address, bigint> = new Map()
const silent = new Map<Address, boolean>()
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
  if (lastWellNs !== 0n && now - lastWellNs > timing.silenceNs) lapse(now)
  if (isAgentWell(now)) {
    alive = now + timing.aliveNs
    lastWellNs = now
  }
  const isJudging = gateways.length > 0 && goodTicks >= timing.ticksBeforeJudging
  vitals.set(0, { alive_until_ns: alive, probing_until_ns: isJudging ? now + timing.probingNs : 0n })
  if (ticks++ % timing.ticksPerProbe === 0) probe()
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

function probe(): void {
  for (const gateway of gateways) datagrams.send(frame, gateway)
}

function judge(now: bigint): void {
  const changes: [Address, boolean][] = []
  for (const gateway of gateways) {
    const last = heard.get(gateway)?.last_ns ?? 0n
    const isSilent = last + timing.silenceNs <= now || (distrusted.get(gateway) ?? 0n) > now
    if (silent.get(gateway) === isSilent) continue
    silent.set(gateway, isSilent)
    changes.push([gateway, isSilent])
  }
  if (changes.length > 0) report({ kind: 'lives', changes })
}

/** Whom to probe. A newcomer has the benefit of the doubt; who is not probed any more is not judged either. */
function watch(wanted: readonly Address[]): void {
  const now = process.hrtime.bigint()
  for (const [known] of [...heard.entries()])
    if (!wanted.includes(known)) {
      heard.delete(known)
      silent.delete(known)
    }
  for (const gateway of wanted)
    if (!gateways.includes(gateway)) heard.set(gateway, { last_ns: now, distrusted_until_ns: 0n })
  if (gateways.length === 0) goodTicks = 0
  gateways = wanted
  datagrams.keepOnly(new Set(wanted))
}

function distrust(until: ReadonlyMap<Address, bigint>): void {
  distrusted = until
  for (const gateway of gateways) {
    const entry = heard.get(gateway)
    if (entry !== undefined && entry.distrusted_until_ns !== (until.get(gateway) ?? 0n))
      heard.set(gateway, { ...entry, distrusted_until_ns: until.get(gateway) ?? 0n })
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
      watch(order.gateways)
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
