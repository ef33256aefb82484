import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { isovalentPolicy, world } from '../../../test/support/world-builder.ts'
import { listPolicies } from '../policies/policies.ts'
import { resolve } from '../resolve.ts'
import type { World } from '../world.ts'
import { type AppliedMemories, type Lag, noteApplied, startOfApplied } from './applied-policies.ts'

const pool = { egressCIDRs: ['172.18.200.0/29'] }
const gateway = '172.18.0.4'

/** A policy with a pool. Its only gateway with an address has this one, or none. */
const pooled = (name: string, address?: string, born = 0) =>
  isovalentPolicy(name, {
    ...pool,
    born,
    ...(address === undefined ? {} : { groupStatuses: [{ egressIPByGatewayIP: { [gateway]: address } }] }),
  })

type Policies = World['isovalentPolicies']

/** What an agent reports that has applied these policies. */
function reportOf(isovalentPolicies: Policies) {
  const { policiesDigest, grantsDigest } = resolve(world({ isovalentPolicies }))
  return { appliedPolicies: policiesDigest, appliedAddresses: grantsDigest }
}

type Report = Partial<ReturnType<typeof reportOf>>

/** An operator that sees policies one after another, each time with what the two first nodes report. The others report as it sees. */
class Operator {
  #memory: AppliedMemories = startOfApplied
  #nowMs = 1_000

  sees(isovalentPolicies: Policies, ...reports: readonly Report[]): Lag {
    const present = reportOf(isovalentPolicies)
    const egressNodes = world().egressNodes.map((each, at) => ({
      ...each,
      status: { ...each.status, ...(reports[at] ?? present) },
    }))
    const seen = world({ isovalentPolicies, egressNodes })
    const { memory, lags } = noteApplied(this.#memory, seen, listPolicies(seen), this.#nowMs++)
    this.#memory = memory
    return lags.get('IsovalentEgressGatewayPolicy p') ?? assert.fail('the policy is missing')
  }
}

const [before, after] = [[pooled('p', '172.18.200.1')], [pooled('p', '172.18.200.2')]]
const none: Lag = { waiting: [], behind: [] }

describe('a policy with a pool waits for nodes', () => {
  test('that do not know a new address of a gateway, until they do', () => {
    const operator = new Operator()
    const old = reportOf(before)
    assert.deepEqual(operator.sees(before), none)
    assert.deepEqual(operator.sees(after, old, old), { waiting: ['worker', 'worker2'], behind: [] })
    assert.deepEqual(operator.sees(after, reportOf(after), old), { waiting: ['worker2'], behind: [] })
    assert.deepEqual(operator.sees(after), none)
  })

  test('that do not know its first address', () => {
    const operator = new Operator()
    const without = [pooled('p')]
    assert.deepEqual(operator.sees(without), none)
    assert.deepEqual(operator.sees(before, reportOf(without)), { waiting: ['worker'], behind: [] })
  })

  test('but not for those of an earlier version, which do not say what addresses they know', () => {
    const operator = new Operator()
    const { appliedPolicies } = reportOf(before)
    assert.deepEqual(operator.sees(before), none)
    assert.deepEqual(operator.sees(after, { appliedPolicies }), none)
  })

  test('but not if only another policy has a new address', () => {
    const operator = new Operator()
    const other = (address: string) => [...before, pooled('other', address, 1)]
    const old = reportOf(other('172.18.200.3'))
    assert.deepEqual(operator.sees(other('172.18.200.3')), none)
    assert.deepEqual(operator.sees(other('172.18.200.4'), old), none)
  })
})
