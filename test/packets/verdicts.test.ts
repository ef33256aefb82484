import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { defaultObjectFile } from '../../src/datapath/datapath.ts'
import { readBtf } from '../../src/datapath/layout/btf.ts'
import { cases as fromOverlay } from './from-overlay-cases.ts'
import { cases as fromPod } from './from-pod-cases.ts'
import { cases as fromPodChained } from './from-pod-chained-cases.ts'
import { cases as fromWorld } from './from-world-cases.ts'

const skip = existsSync(defaultObjectFile) ? false : 'the datapath is not compiled: make build'

/** Verdicts that no packet test expects, each with the reason. */
const untested: Readonly<Record<string, string>> = {
  CONTINUE: 'is no ending',
  VERDICTS: 'is the number of verdicts',
  DROP_INTERNAL: 'no packet makes a helper of the kernel fail',
}

/** Verdicts that one packet to a node as it stands does not bring about: the test that does, and expects it. */
const elsewhere: Readonly<Record<string, string>> = {
  DROP_ADDRESS_CHANGED: 'forward-by-stack',
  DROP_NO_ENDPOINT: 'services',
  DROP_SOURCE_RANGES: 'client-borders',
  DROP_NO_LIVE_GATEWAY: 'from-pod-liveness',
  DROP_POD_LIMIT: 'pod-limit',
  DROP_PORT_IN_USE: 'shared-address',
  DROP_SHARED_ECHO: 'shared-address',
  DROP_TABLE_FULL: 'mapping-life',
  DROP_TOO_BIG: 'way-out',
  DROP_VLAN: 'wire',
  PASS_FROM_STACK: 'forward-by-stack',
  SENT_PORT_REFUSAL: 'shared-address',
  SENT_PROBE_ANSWER: 'from-overlay-probe',
  SENT_REFUSAL: 'services',
  SENT_TO_ENDPOINT: 'client-services',
  SENT_THROUGH_STACK: 'forward-by-stack',
  SENT_TO_HOLDER_BY_LINK: 'by-link',
  SENT_TO_OWNER_BY_LINK: 'by-link',
  TAKEN_PROBE_ANSWER: 'from-overlay-probe',
}

/** What each way in must have a case for: whatever is wrong with a packet, and whose it is, is judged by each anew. */
const everywhere: Readonly<Record<string, readonly string[]>> = {
  from_pod: ['DROP_MALFORMED', 'DROP_UNSUPPORTED_PROTOCOL', 'DROP_UNKNOWN_FRAGMENT', 'DROP_NO_MAPPING', 'DROP_SPOOFED_SOURCE', 'DROP_UNKNOWN_POD', 'DROP_TUNNEL_PORT', 'DROP_TTL_EXCEEDED', 'DROP_NO_ROUTE', 'SENT_TOO_BIG'],
  from_overlay: ['DROP_MALFORMED', 'DROP_UNSUPPORTED_PROTOCOL', 'DROP_UNKNOWN_FRAGMENT', 'DROP_NO_MAPPING', 'DROP_NOT_THE_OWNER', 'DROP_UNKNOWN_NODE', 'DROP_TTL_EXCEEDED', 'DROP_NO_ROUTE'],
  from_world: ['DROP_MALFORMED', 'DROP_NO_MAPPING', 'DROP_NOT_A_LOCAL_POD', 'DROP_UNKNOWN_NODE', 'DROP_TUNNEL_PORT', 'SENT_TOO_BIG', 'PASS_NOT_OURS'],
} // biome-ignore format: one line a program

const casesOf = {
  from_pod: [...fromPod, ...fromPodChained],
  from_overlay: fromOverlay,
  from_world: fromWorld,
}

test('a packet test expects every verdict there is', { skip }, () => {
  const expected = new Set(Object.values(casesOf).flatMap((cases) => cases.map(({ verdict }) => verdict)))
  const verdicts = [...readBtf(defaultObjectFile).enumeration('verdict').keys()]
  const missing = verdicts.filter((verdict) => !expected.has(verdict))
  assert.deepEqual(missing.toSorted(), [...Object.keys(untested), ...Object.keys(elsewhere)].toSorted())
})

for (const [verdict, file] of Object.entries(elsewhere))
  test(`${file}.test.ts expects ${verdict}`, () => {
    const text = readFileSync(`${import.meta.dirname}/${file}.test.ts`, 'utf8')
    assert.match(text, new RegExp(`(verdict: |equal\\([^\\n]*)'${verdict}'`))
  })

for (const [program, cases] of Object.entries(casesOf))
  test(`${program} has a case for everything that it may find wrong`, () => {
    const expected = new Set(cases.map(({ verdict }) => verdict))
    assert.deepEqual(
      (everywhere[program] ?? []).filter((verdict) => !expected.has(verdict)),
      [],
    )
  })
