import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { repository } from '../src/lab/layout.ts'
import { run } from '../src/lab/machines/machine.ts'
import { capture } from '../test/support/hold-program.ts'
import type { Result } from './picture.ts'
import type { ProgramFigures } from './programs.ts'
import { compileAgain, median } from './tools.ts'

/*
 * Whether packets became slower since an earlier version: both versions measure their own programs, in turns, and the ratio is
 * that of each turn, because the machine's speed changes from minute to minute.
 */

const earlier = { name: '0.1.0', revision: '18987b8488dc9c286cb2ada52cfc36a1eb866c10' } as const

const paths = ['outward', 'reply'] as const
type Path = (typeof paths)[number]

/** Undefined if this is not a clone with the history. */
function checkOut(): string | undefined {
  const folder = join(repository, 'build', `earlier-${earlier.revision.slice(0, 12)}`)
  if (existsSync(join(folder, 'build/again.bpf.o'))) return folder
  const found = spawnSync('git', ['-C', repository, 'cat-file', '-e', earlier.revision], { stdio: 'ignore' })
  if (found.status !== 0) return undefined
  mkdirSync(folder, { recursive: true })
  run('sh', ['-ec', `git -C "${repository}" archive ${earlier.revision} | tar -x -C "${folder}"`])
  if (!existsSync(join(folder, 'node_modules')))
    symlinkSync(join(repository, 'node_modules'), join(folder, 'node_modules'))
  run('make', ['-s', '-C', folder, 'build'])
  compileAgain(folder)
  return folder
}

async function measureIn(folder: string): Promise<ProgramFigures> {
  return JSON.parse(await capture([process.execPath, join(folder, 'bench/programs.ts'), '--measure']))
}

export interface ProgramComparison {
  /** Of the present version, one for each round. */
  readonly now: readonly ProgramFigures[]
  readonly before: readonly ProgramFigures[] | undefined
}

export async function comparePrograms(rounds: number): Promise<ProgramComparison> {
  const folder = checkOut()
  const [now, before]: [ProgramFigures[], ProgramFigures[]] = [[], []]
  for (let round = 0; round < rounds; round++) {
    const turns = [
      async () => now.push(await measureIn(repository)),
      async () => folder !== undefined && before.push(await measureIn(folder)),
    ]
    for (const turn of round % 2 === 0 ? turns : turns.reverse()) await turn()
  }
  return { now, before: folder === undefined ? undefined : before }
}

const row = (name: string, unit: string, value: number): Result => ({
  name,
  unit,
  sallyport: value,
  classic: null,
  direct: null,
  ratio: null,
})

const total = (figures: ProgramFigures, path: Path): number =>
  figures[path].reduce((sum, [, ns]) => sum + ns, 0)

/** The value is the median of all rounds. */
function rows(
  figures: readonly ProgramFigures[],
  of: 'outward' | 'reply' | 'first',
  name: (step: string) => string,
) {
  return (figures[0]?.[of] ?? []).map(([step], index) =>
    row(name(step), 'ns', median(figures.map((each) => each[of]?.[index]?.[1] ?? 0))),
  )
}

/** `aims`: for all programs of a path together, in nanoseconds. */
export function programResults(
  { now, before }: ProgramComparison,
  aims: Readonly<Record<Path, number>>,
): readonly Result[] {
  const present = paths.flatMap((path) => [
    ...rows(now, path, (step) => step),
    row(`all programs ${path}, aim ${aims[path]}`, 'ns', median(now.map((each) => total(each, path)))),
  ])
  return [
    ...present,
    ...rows(now, 'first', (step) => step),
    ...(before === undefined ? [] : changes(now, before)),
  ]
}

function changes(now: readonly ProgramFigures[], before: readonly ProgramFigures[]): readonly Result[] {
  return paths.flatMap((path) => [
    ...rows(before, path, (step) => `${step}, in ${earlier.name}`),
    row(
      `all programs ${path}, more than in ${earlier.name}, aim 3`,
      '%',
      median(now.map((each, round) => percentMore(total(each, path), total(before[round] ?? each, path)))),
    ),
  ])
}

export function percentMore(value: number, than: number): number {
  return (value / than - 1) * 100
}
