import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { enterPrivateNamespaces } from '../support/private-namespaces.ts'
import { ProgramPool } from './loaded-programs.ts'
import { type Outcome, Simulation } from './simulation.ts'

/*
 * node test/simulation/run.ts                     one seed after another, until stopped
 * node test/simulation/run.ts --seed 7            that seed, with its whole story
 *   --minutes M     of faults, in virtual time
 *   --count N       so many seeds, from --seed on
 *   --stop          at the first finding
 */

const { values: options } = parseArgs({
  options: {
    seed: { type: 'string' },
    minutes: { type: 'string', default: '2' },
    count: { type: 'string' },
    stop: { type: 'boolean', default: false },
    quiet: { type: 'boolean', default: false },
  },
})

const bpffs = enterPrivateNamespaces()
const directory = mkdtempSync(join('/dev/shm', 'sallyport-simulation-'))
process.on('exit', () => rmSync(directory, { recursive: true, force: true }))
const pool = new ProgramPool(bpffs)
const nowMs = performance.now.bind(performance)

function describe({ seed, failure, story }: Outcome, minutes: number): string {
  if (failure === undefined) return `seed ${seed}: nothing found`
  const again = `node test/simulation/run.ts --seed ${seed} --minutes ${minutes}`
  return `${story.end()}\n\nseed ${seed}: not true: ${failure.invariant}\n  ${failure.problem}\n  again: ${again}\n`
}

const first = Number(options.seed ?? 1)
const count = Number(options.count ?? (options.seed === undefined ? Number.POSITIVE_INFINITY : 1))
const minutes = Number(options.minutes)
const isOne = count === 1
const began = nowMs()
let virtualMs = 0
let found = 0
for (let seed = first; seed < first + count; seed++) {
  const listener = isOne && !options.quiet ? { listener: (line: string) => console.log(line) } : {}
  const outcome = await new Simulation({ seed, minutes, pool, directory, ...listener }).run()
  virtualMs += outcome.virtualMs
  if (outcome.failure !== undefined) found++
  if (outcome.failure !== undefined || isOne) console.log(describe(outcome, minutes))
  if (outcome.failure !== undefined && options.stop) break
  const hours = (nowMs() - began) / 3_600_000
  const seeds = seed - first + 1
  if (!isOne)
    console.log(
      `${seeds} seeds, ${found} findings, ${(seeds / hours).toFixed(0)} seeds an hour, ${(virtualMs / 3_600_000).toFixed(2)} simulated hours`,
    )
}
process.exit(found === 0 ? 0 : 1)
