import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { resyncMs } from '../../src/agent/agent-options.ts'
import { enterPrivateNamespaces, privateNamespacesRefused } from '../support/private-namespaces.ts'
import { ProgramPool } from './loaded-programs.ts'
import { Random } from './random.ts'
import { changePolicy, cilium, drawScenario } from './scenario.ts'
import { Simulation } from './simulation.ts'
import { entriesOf } from './table-snapshots.ts'

/** Ports, reports and statuses rest then, and it is the middle between two resyncs, which wait for nothing: 5 s + 40 s = 1.5 * 30 s. */
const quietMs = resyncMs + 10_000
const stepMs = 10
/** From the API server to the tables, where nothing is to be waited for. */
const promptMs = 300

describe('a setting has its effect in a whole cluster', { skip: privateNamespacesRefused }, () => {
  let programs: ProgramPool
  let directory: string
  before(() => {
    programs = new ProgramPool(enterPrivateNamespaces())
    directory = mkdtempSync(join('/dev/shm', 'sallyport-simulation-'))
  })
  after(() => rmSync(directory, { recursive: true, force: true }))

  /** Milliseconds of virtual time from one change of a policy to the tables of a worker, and to those with the next change. */
  async function measure(settings: Readonly<Record<string, string>>): Promise<readonly [number, number]> {
    const policy = cilium()
    const pods = [{ name: 'payments-worker1', app: 'payments', machine: 'worker1' }]
    const scenario = { ...drawScenario(new Random(1)), policies: [policy], pods }
    const times: number[] = []
    const play = async (simulation: Simulation): Promise<void> => {
      const { cluster, clock } = simulation
      const { rules } = cluster.member('worker1').machine.programs.datapath.tables
      await simulation.pass(quietMs)
      const beganMs = clock.nowMs
      for (const excluded of ['203.0.113.64/28', '203.0.113.128/28']) {
        await changePolicy(cluster, policy, { spec: { excludedCIDRs: [excluded] } })
        while (!entriesOf(rules).some(([key]) => key.destination === excluded)) {
          assert.ok(clock.nowMs - beganMs < 60_000, `no rule for ${excluded} after a minute`)
          await simulation.pass(stepMs)
        }
        times.push(clock.nowMs - beganMs)
      }
    }
    const { failure, story } = await new Simulation({ seed: 1, minutes: 0, pool: programs, directory, scenario, settings, play }).run() // biome-ignore format: one call
    assert.equal(failure, undefined, `${story.end()}\n${failure?.problem}`)
    const [first, second] = times
    assert.ok(first !== undefined && second !== undefined)
    return [first, second - first]
  }

  for (const intervalMs of [1_000, 7_000])
    test(`two changes of a policy reach the tables ${intervalMs / 1000} s apart if reconciliationTriggerInterval says so`, async () => {
      const [first, gap] = await measure({
        'egress-gateway-reconciliation-trigger-interval': `${intervalMs / 1000}s`,
      })
      assert.ok(first < promptMs, `the first change took ${first} ms`)
      assert.ok(
        gap >= intervalMs - promptMs && gap < intervalMs + promptMs,
        `the second change took effect ${gap} ms after the first`,
      )
    })
})
