import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { enterPrivateNamespaces, privateNamespacesRefused } from '../support/private-namespaces.ts'
import { ProgramPool } from './loaded-programs.ts'
import { type Outcome, Simulation } from './simulation.ts'

/** How long new seeds are begun, in real time; `make simulate` continues until it is stopped. */
const budgetMs = Number(process.env.SALLYPORT_SIMULATION_SECONDS ?? '100') * 1000
const minutes = 1
const nowMs = performance.now.bind(performance)

describe('a simulated cluster', { skip: privateNamespacesRefused }, () => {
  let pool: ProgramPool
  let directory: string
  before(() => {
    pool = new ProgramPool(enterPrivateNamespaces())
    directory = mkdtempSync(join('/dev/shm', 'sallyport-simulation-'))
  })
  after(() => rmSync(directory, { recursive: true, force: true }))

  const run = (seed: number): Promise<Outcome> => new Simulation({ seed, minutes, pool, directory }).run()

  test('tells the same story again for the same seed', async () => {
    const first = await run(4)
    const second = await run(4)
    assert.deepEqual(second.story.lines, first.story.lines)
  })

  test('keeps every invariant, whatever fails', async () => {
    const endMs = nowMs() + budgetMs
    for (let seed = 1; nowMs() < endMs; seed++) {
      const { failure, story } = await run(seed)
      const again = `node test/simulation/run.ts --seed ${seed} --minutes ${minutes}`
      assert.equal(
        failure,
        undefined,
        `${story.end()}\n\nnot true: ${failure?.invariant}\n  ${failure?.problem}\n  again: ${again}`,
      )
    }
  })
})
