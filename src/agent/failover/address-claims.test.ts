import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  device,
  egressIp,
  FailoverUnderTest,
  other,
  self,
  tablesWith,
} from '../../../test/support/failover-under-test.ts'
import type { Tables } from '../../decide/tables.ts'
import type { Address } from '../../net/address.ts'
import type { NodeDevice } from '../node/node-network.ts'
import { conflictMemoryMs, conflictsOf, unusableAddresses } from './address-claims.ts'

const foreign = '02:00:5e:00:53:99'
const ofCluster = '02:00:00:00:00:02'

interface Given {
  /** Whose the address is; undefined: no policy uses it. */
  readonly pool?: 'worker' | 'nobody'
  readonly order?: readonly Address[]
  readonly lingering?: boolean
  readonly others?: readonly Address[]
  readonly macs?: ReadonlySet<string> | undefined
  readonly devices?: readonly NodeDevice[]
}

/** The node decides and applies tables that give it the address from a pool. */
function decide(failover: FailoverUnderTest, given: Given = {}): void {
  const { pool = 'worker', order = [self, other], others = [], devices = [device()] } = given
  const macs = 'macs' in given ? given.macs : new Set([ofCluster])
  const tables: Tables = {
    ...tablesWith(pool === 'nobody' ? {} : { [egressIp]: order }),
    poolAddresses: new Map(pool === 'worker' ? [[egressIp, { node: 'worker', interface: undefined }]] : []),
    clusterHosts: { macs, addressesOfOthers: new Set(others) },
  }
  const lingering = new Map(given.lingering ? [[egressIp, { order, blockOwner: [] }]] : [])
  failover.step({ kind: 'ownDecided', tables, lingering, devices })
  failover.step({ kind: 'tablesApplied', tables, lingering, devices })
}

function started(): FailoverUnderTest {
  return new FailoverUnderTest().start({})
}

const claim = (mac = foreign, isProbe = false) =>
  ({ kind: 'claimed', claim: { address: egressIp, mac, isProbe } }) as const
const isUsable = (failover: FailoverUnderTest): boolean => !unusableAddresses(failover.state).has(egressIp)

/** An address that was probed and that nobody else has. */
function clear(): FailoverUnderTest {
  const failover = started()
  decide(failover)
  failover.step({ kind: 'probed', address: egressIp })
  decide(failover)
  failover.kinds()
  return failover
}

test('a new pool address is probed, and used only after nobody answered', () => {
  const failover = started()
  decide(failover)
  assert.ok(failover.kinds().includes('probeAddress'))
  assert.deepEqual([failover.holds(), isUsable(failover)], [false, false])
  decide(failover)
  assert.equal(failover.kinds().includes('probeAddress'), false, 'it is probed once')
  failover.step({ kind: 'probed', address: egressIp })
  assert.ok(failover.kinds().includes('reconcile'))
  decide(failover)
  assert.deepEqual([failover.holds(), isUsable(failover)], [true, true])
  assert.ok(failover.announced.has(egressIp))
})

for (const [what, isProbe] of [
  ['answers for', false],
  ['probes for', true],
] as const)
  test(`a pool address that another host ${what} is not used, and the report names the MAC`, () => {
    const failover = started()
    decide(failover)
    failover.step(claim(foreign, isProbe))
    failover.step({ kind: 'probed', address: egressIp })
    decide(failover)
    assert.deepEqual([failover.holds(), isUsable(failover)], [false, false])
    assert.deepEqual(conflictsOf(failover.state), [{ address: egressIp, mac: foreign, interface: 'eth0' }])
  })

const unprobed: Readonly<Record<string, (failover: FailoverUnderTest) => void>> = {
  'another node reports that it has it': (failover) => decide(failover, { others: [egressIp] }),
  'it was another node’s until now': (failover) => {
    decide(failover, { pool: 'nobody' })
    failover.apply({ [egressIp]: [other, self] })
    decide(failover)
  },
  'no network of the node contains it': (failover) =>
    decide(failover, { devices: [device({ subnets: [] })] }),
  'it is on a device already': (failover) =>
    decide(failover, { devices: [device({ addresses: [self, egressIp] })] }),
}
for (const [why, run] of Object.entries(unprobed))
  test(`a pool address is used at once, without probes, if ${why}`, () => {
    const failover = started()
    run(failover)
    assert.equal(failover.kinds().includes('probeAddress'), false)
    assert.equal(isUsable(failover), true)
  })

test('a pool address that the previous agent left in the tables is used at once, and is probed if it returns after it ended', () => {
  const failover = new FailoverUnderTest(new Map(), [egressIp]).start({})
  decide(failover, { lingering: true })
  assert.equal(failover.kinds().includes('probeAddress'), false)
  assert.equal(isUsable(failover), true)
  decide(failover, { pool: 'nobody' })
  decide(failover)
  assert.ok(failover.kinds().includes('probeAddress'))
})

test('an address that this node took over is announced at once, and stays when it becomes its own', () => {
  const failover = started()
  failover.apply({ [egressIp]: [other, self] })
  failover.unreachable(other)
  assert.equal(failover.holds(), true)
  assert.ok(failover.announced.has(egressIp))
  failover.kinds()
  decide(failover)
  assert.deepEqual([failover.holds(), isUsable(failover)], [true, true])
  assert.equal(failover.kinds().includes('probeAddress'), false)
})

test('an answer of another node of the cluster is no conflict, nor is any answer while MACs of nodes are unknown', () => {
  for (const given of [{}, { macs: undefined }]) {
    const failover = started()
    decide(failover, given)
    failover.step(claim('macs' in given ? foreign : ofCluster))
    failover.step({ kind: 'probed', address: egressIp })
    decide(failover, given)
    assert.equal(failover.holds(), true)
  }
})

test('a conflict that comes later is answered by one announcement, and ends the use of the address if it stands', () => {
  const failover = clear()
  failover.step(claim())
  failover.step(claim())
  assert.deepEqual(failover.kinds(), ['defend'], 'copies of an announcement are one conflict')
  failover.pass(10_000)
  assert.equal(failover.holds(), true)
  failover.kinds()
  failover.step(claim())
  assert.deepEqual(failover.kinds(), ['reconcile'])
  decide(failover)
  assert.deepEqual([failover.holds(), isUsable(failover)], [false, false])
  assert.equal(conflictsOf(failover.state)[0]?.mac, foreign)
})

test('a host that gives way after the defence, or only probes, ends nothing', () => {
  const failover = clear()
  failover.step(claim())
  failover.pass(600_000)
  failover.step(claim())
  assert.equal(failover.kinds().filter((kind) => kind === 'defend').length, 2)
  failover.step(claim(foreign, true))
  decide(failover)
  assert.equal(failover.holds(), true)
})

test('ten minutes after the last answer, the agent forgets a conflict and probes the address again', () => {
  const failover = started()
  decide(failover)
  failover.step(claim())
  failover.pass(conflictMemoryMs - 1)
  failover.step(claim())
  failover.pass(conflictMemoryMs - 1)
  decide(failover)
  assert.equal(conflictsOf(failover.state).length, 1)
  failover.pass(1)
  failover.kinds()
  decide(failover)
  assert.equal(conflictsOf(failover.state).length, 0)
  assert.ok(failover.kinds().includes('probeAddress'))
})

test('an address that lingers is given up as soon as another host claims it', () => {
  const failover = clear()
  decide(failover, { pool: 'nobody', lingering: true })
  assert.equal(failover.holds(), true)
  failover.step(claim())
  assert.equal(conflictsOf(failover.state).length, 1)
  decide(failover, { pool: 'nobody', lingering: false })
  assert.equal(failover.holds(), false)
})

const absences: Readonly<Record<string, (failover: FailoverUnderTest) => void>> = {
  'the cluster did not know it': (failover) =>
    failover.step({ kind: 'membershipLost', reason: 'the cluster has no Node worker.' }),
  'it reached nothing': (failover) => {
    failover.step({ kind: 'reach', isCutOff: true })
    failover.pass(1_000, { receivesNothing: true })
    failover.pass(10_000, { receivesNothing: true })
    decide(failover, { pool: 'nobody', lingering: true })
  },
}
for (const [why, run] of Object.entries(absences))
  test(`an address that lingers on a node returns there after ${why}, for its flows are sent there again`, () => {
    const failover = clear()
    decide(failover, { pool: 'nobody', lingering: true })
    run(failover)
    assert.equal(failover.holds(), false)
    failover.step({ kind: 'reach', isCutOff: false })
    decide(failover, { pool: 'nobody', lingering: true })
    failover.relisted()
    failover.settled()
    decide(failover, { pool: 'nobody', lingering: true })
    assert.equal(failover.holds(), true)
    decide(failover, { pool: 'nobody' })
    assert.equal(failover.holds(), false)
  })

test('an egress IP that another gateway has lost is probed before this node answers for it', () => {
  const failover = new FailoverUnderTest().start({ [egressIp]: [other, self] })
  const decideLost = (): void => {
    const tables: Tables = {
      ...tablesWith({}, [], [egressIp]),
      orphaned: new Map([[egressIp, [self]]]),
      clusterHosts: { macs: new Set([ofCluster]), addressesOfOthers: new Set() },
    }
    const lingering = new Map([[egressIp, { order: [self], blockOwner: [] }]])
    failover.step({ kind: 'ownDecided', tables, lingering, devices: [device()] })
    failover.step({ kind: 'tablesApplied', tables, lingering, devices: [device()] })
  }
  decideLost()
  assert.deepEqual([failover.holds(), isUsable(failover)], [false, false])
  failover.step({ kind: 'probed', address: egressIp })
  decideLost()
  assert.deepEqual([failover.holds(), isUsable(failover)], [true, true])
  failover.step(claim())
  assert.equal(isUsable(failover), false, 'a host outside the cluster that has it now keeps it')
})
