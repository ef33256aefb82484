import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { promisify } from 'node:util'
import type { Address } from '../../src/net/address.ts'
import { enterPrivateNamespaces, privateNamespacesRefused } from '../support/private-namespaces.ts'
import { worldOf } from './cluster-view.ts'
import { ProgramPool } from './loaded-programs.ts'
import { Random } from './random.ts'
import { cilium, drawScenario, pool } from './scenario.ts'
import { type Outcome, Simulation } from './simulation.ts'

/** How long new seeds are begun, in real time; `make simulate` continues until it is stopped. */
const budgetMs = Number(process.env.SALLYPORT_SIMULATION_SECONDS ?? '90') * 1000
const minutes = 1
/** Seeds that are known to pass. Others are for `make simulate`, whose findings a person reads before they fail a change. */
const lastSeed = 4
const nowMs = performance.now.bind(performance)

describe('a simulated cluster', { skip: privateNamespacesRefused }, () => {
  let programs: ProgramPool
  let directory: string
  before(() => {
    programs = new ProgramPool(enterPrivateNamespaces())
    directory = mkdtempSync(join('/dev/shm', 'sallyport-simulation-'))
  })
  after(() => rmSync(directory, { recursive: true, force: true }))

  const run = (seed: number): Promise<Outcome> =>
    new Simulation({ seed, minutes, pool: programs, directory }).run()

  test('a seed tells the same story alone and after others', async () => {
    const words = ['--seed', '4', '--minutes', '0.5']
    const alone = promisify(execFile)(process.execPath, [join(import.meta.dirname, 'run.ts'), ...words], { maxBuffer: 16 << 20 }) // biome-ignore format: one call
    const tell = (seed: number, lines: string[]): Promise<Outcome> =>
      new Simulation({
        seed,
        minutes: 0.5,
        pool: programs,
        directory,
        listener: (line) => lines.push(line),
      }).run()
    await tell(3, [])
    const lines: string[] = []
    await tell(4, lines)
    assert.deepEqual((await alone).stdout.trimEnd().split('\n').slice(0, -1), lines)
  })

  test('every invariant holds, whatever fails', async () => {
    const endMs = nowMs() + budgetMs
    for (let seed = 1; seed <= lastSeed && nowMs() < endMs; seed++) {
      const { failure, story } = await run(seed)
      const again = `node test/simulation/run.ts --seed ${seed} --minutes ${minutes}`
      assert.equal(
        failure,
        undefined,
        `${story.end()}\n\nnot true: ${failure?.invariant}\n  ${failure?.problem}\n  again: ${again}`,
      )
    }
  })

  /* A kubelet that chooses by itself may take an egress IP for its node's address. */
  test('a node whose InternalIP is an egress IP that it holds lets no packet out with it', async () => {
    const scenario = drawScenario(new Random(1))
    const play = async (simulation: Simulation): Promise<void> => {
      const { cluster } = simulation
      const { machine } = cluster.member('gateway1')
      const held = machine.network.addresses.find(({ address }) =>
        /^172\.18\.0\.(9[6-9]|10[0-3])$/.test(address),
      )
      assert.ok(held, 'gateway1 holds no address of the pool')
      await cluster.setNodeStatus('gateway1', [{ type: 'InternalIP', address: held.address }])
      await simulation.pass(5_000)
      await cluster.setNodeStatus('gateway1', [{ type: 'InternalIP', address: machine.address }])
    }
    const free = { name: 'free-gateway1', app: 'free', machine: 'gateway1' }
    const batch = { name: 'batch-worker1', app: 'batch', machine: 'worker1' }
    const withPool = { ...scenario, policies: [pool(new Random(1))], pods: [free, batch] }
    const { failure, story } = await new Simulation({ seed: 1, minutes: 0, pool: programs, directory, scenario: withPool, play }).run() // biome-ignore format: one call
    assert.equal(failure, undefined, `${story.end()}\n${failure?.problem}`)
  })

  test('within a second after its interface fails, a gateway’s egress IP belongs to a successor; then it comes back', async () => {
    const scenario = drawScenario(new Random(1))
    const egressIp = '172.18.0.42' as Address
    const play = async (simulation: Simulation): Promise<void> => {
      const { cluster } = simulation
      const [owner, successor] = ['gateway1', 'gateway2'].map((name) => cluster.member(name).machine)
      assert.ok(owner && successor)
      const net0 = owner.deviceIndex('net0') ?? 0
      /** Where each node sends packets with the egress IP. */
      const served = (): Set<Address | undefined> =>
        new Set(
          cluster.machines.map(
            ({ programs: { datapath } }) => datapath.tables.egress_ips.get(egressIp)?.order[0],
          ),
        )
      const condition = (): string | undefined => {
        const [policy] = worldOf(cluster).ciliumPolicies
        return policy?.status?.conditions?.find(({ type }) => type === 'InterfaceUnusable')?.message
      }
      assert.deepEqual(served(), new Set([owner.address]))
      for (const _again of [1, 2]) {
        owner.network.setCarrier(net0, false)
        await simulation.pass(1_000)
        assert.deepEqual(served(), new Set([successor.address]))
        assert.ok(successor.has(egressIp), 'the successor answers for the address')
        await simulation.pass(4_000)
        assert.match(
          condition() ?? '',
          /^Interface net0 of node gateway1 has no carrier\..* Node gateway2 answers/,
        )
        owner.network.setCarrier(net0, true)
        await simulation.pass(30_000)
        assert.deepEqual(served(), new Set([owner.address]))
        assert.ok(!successor.has(egressIp), 'the successor has handed it back')
        assert.equal(condition(), undefined)
      }
      const events = cluster.api.objects({ group: '', plural: 'events' })
      const reasons = new Set(events.map(({ reason }) => reason))
      assert.ok(reasons.has('InterfaceUnusable') && reasons.has('InterfacesUsable'), [...reasons].join())
    }
    const pods = ['worker1', 'gateway1', 'gateway2'].map((machine) => ({ name: `payments-${machine}`, app: 'payments', machine })) // biome-ignore format: short
    const alone = { ...scenario, policies: [cilium()], pods }
    const { failure, story } = await new Simulation({ seed: 1, minutes: 0, pool: programs, directory, scenario: alone, play }).run() // biome-ignore format: one call
    assert.equal(failure, undefined, `${story.end()}\n${failure?.problem}`)
  })
})
