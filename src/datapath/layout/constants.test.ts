import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { fewFlows } from '../../agent/api/explain/node-facts.ts'
import { timing } from '../../agent/failover/pulse/timing.ts'
import { podTunnelId } from '../../agent/node/tunnel-routes.ts'
import { keptPort } from '../../agent/ports/fullness.ts'
import { groupTries } from '../../decide/explain/expected-verdict.ts'
import { maxHolders } from '../../decide/gateways/egress-ips.ts'
import { maxNetworkRules, maxPortLists, maxPortRanges } from '../../decide/policies/network-sets.ts'
import { maxMembers } from '../../decide/policies/pod-rules.ts'
import type { DropReason } from '../../decide/tables.ts'
import { settings } from '../../install/settings/settings.ts'
import { blockBits, portBlocks, regions } from '../../net/ports.ts'
import { defaultObjectFile, programs } from '../datapath.ts'
import { readBtf } from './btf.ts'
import { elfSection } from './elf.ts'

/*
 * Constants that C and TypeScript both have. Folders that know no BPF cannot read them from the object file, so they are written
 * down twice, and compared here.
 */
const skip = existsSync(defaultObjectFile) ? false : 'the datapath is not compiled: make build'

type Constants = Readonly<Record<string, number | bigint>>

const constants: Constants = {
  PORT_BLOCK_BITS: blockBits,
  PORT_BLOCKS: portBlocks,
  FIRST_EGRESS_PORT: regions.lease.first,
  MAX_HOLDERS: maxHolders,
  MAX_GROUP_MEMBERS: maxMembers,
  MAX_NETWORK_RULES: 2 * maxNetworkRules,
  MAX_PORT_LISTS: 2 * maxPortLists,
  MAX_PORT_RANGES: maxPortRanges,
  TUNNEL_POD: podTunnelId,
  KEPT_PORT: keptPort,
  FEW_FLOWS: fewFlows,
  GROUP_TRIES: groupTries,
}

/** Defaults of bpf/config.h. */
const knobs: Constants = {
  gateway_silence_ns: timing.silenceNs,
  tunnel_port: Number(settings.find(({ key }) => key === 'tunnel-port')?.fallback),
}

/** What a resolved rule may say; the type checker asks for each. */
const dropReasons: Readonly<Record<DropReason, true>> = {
  DROP_NO_GATEWAY: true,
  DROP_NO_EGRESS_IP: true,
  DROP_POLICY_INVALID: true,
  DROP_NETWORK_POLICY: true,
}

function differences(expected: Constants, inC: (name: string) => number | bigint | undefined): string[] {
  return Object.entries(expected)
    .map(([name, value]) => ({ name, value: BigInt(value), there: inC(name) }))
    .filter(({ value, there }) => there === undefined || BigInt(there) !== value)
    .map(({ name, value, there }) => `${name} is ${there ?? 'unknown'} in C and ${value} in TypeScript`)
}

function constantInC(name: string): number | undefined {
  const btf = readBtf(defaultObjectFile)
  return btf.hasConstant(name) ? btf.constant(name) : undefined
}

function knobInC(name: string): number | bigint | undefined {
  const knob = readBtf(defaultObjectFile).variables('.rodata').get(name)
  if (knob === undefined) return undefined
  const bytes = elfSection(readFileSync(defaultObjectFile), '.rodata')
  return knob.type.size === 8 ? bytes.readBigUInt64LE(knob.offset) : bytes.readUInt32LE(knob.offset)
}

test('a constant has the same value in C and in TypeScript', { skip }, () => {
  assert.deepEqual(differences(constants, constantInC), [])
})

test('a knob of the datapath has the default that TypeScript expects', { skip }, () => {
  assert.deepEqual(differences(knobs, knobInC), [])
})

test('a constant that differs, or that C does not have, is found', { skip }, () => {
  assert.deepEqual(differences({ PORT_BLOCK_BITS: 5, NO_SUCH_LIMIT: 1 }, constantInC), [
    'PORT_BLOCK_BITS is 4 in C and 5 in TypeScript',
    'NO_SUCH_LIMIT is unknown in C and 1 in TypeScript',
  ])
  assert.deepEqual(differences({ gateway_silence_ns: 1n, no_such_knob: 1 }, knobInC), [
    'gateway_silence_ns is 350000000 in C and 1 in TypeScript',
    'no_such_knob is unknown in C and 1 in TypeScript',
  ])
})

test('every reason that a rule can give for a drop is a drop of the datapath', { skip }, () => {
  const verdicts = readBtf(defaultObjectFile).enumeration('verdict')
  const first = verdicts.get('DROP_MALFORMED') ?? 0
  for (const reason of Object.keys(dropReasons)) assert.ok((verdicts.get(reason) ?? 0) >= first, reason)
})

test('every program of the datapath has a name in TypeScript', { skip }, () => {
  const inC = [...readBtf(defaultObjectFile).enumeration('program').keys()].filter(
    (name) => name !== 'PROGRAMS',
  )
  assert.deepEqual(
    inC,
    programs.map((name) => name.toUpperCase()),
  )
})

test('in production nothing is simulated', { skip }, () => {
  const simulated = [...readBtf(defaultObjectFile).variables('.rodata').keys()].filter((name) =>
    name.startsWith('simulated_'),
  )
  assert.deepEqual(simulated.toSorted(), ['simulated_clock', 'simulated_host', 'simulated_tunnel'])
  for (const name of simulated) assert.equal(Number(knobInC(name)), 0, name)
})
