import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { repository } from '../src/lab/layout.ts'
import { run } from '../src/lab/machines/machine.ts'
import { loneResult, type Result } from './picture.ts'
import type { Figure, OpenFigures } from './programs.ts'
import { compileAgain, median } from './tools.ts'

/*
 * Whether packets became slower since an earlier version. Both versions are loaded and measured in short turns, and the ratio is
 * that of each turn, because the machine's speed changes from moment to moment.
 */

const earlier = {
  name: '0.1.0',
  revision: '18987b8488dc9c286cb2ada52cfc36a1eb866c10',
  tunnelKnob: 'tunnel_key_in_cb',
} as const

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

/** A version whose programs are loaded, and which answers questions. All run on one CPU, one at a time. */
function serve(script: string, ...options: readonly string[]) {
  const words = ['-c', '0', process.execPath, join(repository, 'bench', script), ...options]
  const child = spawn('taskset', words, { stdio: ['pipe', 'pipe', 'inherit'] })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  return {
    ask: async <T>(question: 'open' | 'first'): Promise<T> => {
      child.stdin.write(`${question}\n`)
      const { value, done } = await lines.next()
      if (done) throw new Error(`${script} ${options.join(' ')} failed`)
      return JSON.parse(value) as T
    },
    [Symbol.dispose]: () => child.stdin.end(),
  }
}

export interface ProgramComparison {
  /** Of the present version, and of the earlier one if its history is here: one for each turn. */
  readonly now: readonly OpenFigures[]
  readonly before: readonly OpenFigures[]
  /** For the first packet of a flow, now. */
  readonly first: readonly Figure[]
  /** For a packet of an open flow by the link, now: one list for each turn. */
  readonly byLink: readonly (readonly Figure[])[]
}

/** More turns than a busy machine can spoil. */
const turns = 100

export async function comparePrograms(): Promise<ProgramComparison> {
  const folder = checkOut()
  const [now, before, byLink]: [OpenFigures[], OpenFigures[], Figure[][]] = [[], [], []]
  using present = serve('programs.ts', '--serve', repository, 'simulated_tunnel')
  using past = folder === undefined ? undefined : serve('programs.ts', '--serve', folder, earlier.tunnelKnob)
  using link = serve('link-programs.ts')
  for (let turn = 0; turn < turns; turn++) {
    if (turn % 2 === 0) now.push(await present.ask('open'))
    if (past !== undefined) before.push(await past.ask('open'))
    if (turn % 2 === 1) now.push(await present.ask('open'))
    byLink.push(await link.ask('open'))
  }
  return { now, before, byLink, first: await present.ask('first') }
}

const total = (figures: OpenFigures, path: Path): number => figures[path].reduce((sum, [, ns]) => sum + ns, 0)

function rows(
  figures: readonly OpenFigures[],
  path: Path,
  name: (step: string) => string,
): readonly Result[] {
  return (figures[0]?.[path] ?? []).map(([step], index) =>
    loneResult(name(step), 'ns', median(figures.map((each) => each[path][index]?.[1] ?? 0))),
  )
}

/** Each value is the median of all turns. `aims`: for all programs of a path together, in nanoseconds. */
export function programResults(
  { now, before, byLink, first }: ProgramComparison,
  aims: Readonly<Record<Path, number>>,
): readonly Result[] {
  const present = paths.flatMap((path) => [
    ...rows(now, path, (step) => step),
    loneResult(`all programs ${path}, aim ${aims[path]}`, 'ns', median(now.map((each) => total(each, path)))),
  ])
  const changes = paths.flatMap((path) => [
    ...rows(before, path, (step) => `${step}, in ${earlier.name}`),
    loneResult(
      `all programs ${path}, more than in ${earlier.name}, aim 3`,
      '%',
      median(before.map((each, turn) => percentMore(total(now[turn] ?? each, path), total(each, path)))),
    ),
  ])
  return [
    ...present,
    ...(byLink[0] ?? []).map(([step], index) =>
      loneResult(step, 'ns', median(byLink.map((figures) => figures[index]?.[1] ?? 0))),
    ),
    ...first.map(([step, ns]) => loneResult(step, 'ns', ns)),
    ...(before.length === 0 ? [] : changes),
  ]
}

export function percentMore(value: number, than: number): number {
  return (value / than - 1) * 100
}
