import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { Command, InvalidArgumentError } from 'commander'
import { enterPrivateNamespaces, privateNamespacesRefused } from '../support/private-namespaces.ts'
import { allFaults } from './faults/draw.ts'
import type { MakeFault } from './faults/fault.ts'
import { ProgramPool } from './loaded-programs.ts'
import { type Outcome, Simulation } from './simulation.ts'

/* README.md beside this file says how to read a story, and how to add a fault or an invariant. */

interface Options {
  readonly seed?: number
  readonly minutes: number
  readonly count?: number
  readonly faults?: readonly [string, MakeFault][]
  readonly seconds?: number
  readonly stop: boolean
  readonly quiet: boolean
}

const number =
  (min: number, isWhole: boolean) =>
  (text: string): number => {
    const value = text.trim() === '' ? Number.NaN : Number(text)
    if (!(value >= min) || !Number.isFinite(value) || (isWhole && !Number.isInteger(value)))
      throw new InvalidArgumentError(`Give a ${isWhole ? 'whole ' : ''}number of at least ${min}.`)
    return value
  }

const faultsOf = (text: string): [string, MakeFault][] =>
  text.split(',').map((name) => {
    const found = allFaults.get(name)
    if (found === undefined)
      throw new InvalidArgumentError(
        `There is no fault ${name}. Choose from ${[...allFaults.keys()].join(', ')}.`,
      )
    return [name, found]
  })

const command = new Command('node test/simulation/run.ts')
  .description(
    'Simulates clusters in which things fail, one per seed, and checks what must always hold. The same seed gives the same story.',
  )
  .option('--seed <n>', 'simulate this seed and print its story. Default: all seeds from 1 on', number(0, true))
  .option('--minutes <m>', 'how long faults happen, in simulated minutes', number(0, false), 2)
  .option('--count <k>', 'simulate k seeds, from --seed on, and print the story of a failure only', number(1, true)) // biome-ignore format: one option
  .option('--faults <names>', 'let only these faults happen, joined by commas. Default: all', faultsOf)
  .option('--seconds <s>', 'begin no further seed after s seconds of real time', number(1, false))
  .option('--stop', 'stop at the first failure', false)
  .option('--quiet', 'do not print the story of a single seed', false)
  .addHelpText('after', '\nThe command ends with 1 if an invariant did not hold. It needs root and a kernel that can load the programs.') // biome-ignore format: one text
  .showHelpAfterError('(--help lists the options)')
  .parse()
const options = command.opts<Options>()

if (privateNamespacesRefused !== false) command.error(`error: ${privateNamespacesRefused}`, { exitCode: 2 })

const bpffs = enterPrivateNamespaces()
const directory = mkdtempSync(join('/dev/shm', 'sallyport-simulation-'))
process.on('exit', () => rmSync(directory, { recursive: true, force: true }))
const pool = new ProgramPool(bpffs)
const nowMs = performance.now.bind(performance)

const only = options.faults
const onlyThese = only === undefined ? '' : ` --faults ${only.map(([name]) => name).join(',')}`
const faults = only === undefined ? {} : { faults: only.map(([, make]) => make) }

function describe({ seed, failure, story }: Outcome): string {
  if (failure === undefined) return `seed ${seed}: nothing found`
  const again = `node test/simulation/run.ts --seed ${seed} --minutes ${options.minutes}${onlyThese}`
  return `${story.end()}\n\nseed ${seed}: not true: ${failure.invariant}\n  ${failure.problem}\n  again: ${again}\n`
}

const first = options.seed ?? 1
const count = options.count ?? (options.seed === undefined ? Number.POSITIVE_INFINITY : 1)
const isOne = count === 1
const beganMs = nowMs()
const endMs = beganMs + (options.seconds ?? Number.POSITIVE_INFINITY) * 1000
let virtualMs = 0
let found = 0
for (let seed = first; seed < first + count && nowMs() < endMs; seed++) {
  const listener = isOne && !options.quiet ? { listener: (line: string) => console.log(line) } : {}
  const outcome = await new Simulation({
    seed,
    minutes: options.minutes,
    pool,
    directory,
    ...faults,
    ...listener,
  }).run()
  virtualMs += outcome.virtualMs
  if (outcome.failure !== undefined) found++
  if (outcome.failure !== undefined || isOne) console.log(describe(outcome))
  if (outcome.failure !== undefined && options.stop) break
  const hours = (nowMs() - beganMs) / 3_600_000
  const seeds = seed - first + 1
  if (!isOne)
    console.log(
      `${seeds} seeds, to ${seed}: ${found} findings, ${(seeds / hours).toFixed(0)} seeds an hour, ${(virtualMs / 3_600_000).toFixed(2)} simulated hours`,
    )
}
process.exit(found === 0 ? 0 : 1)
