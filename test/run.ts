/**
 * Runs the tests: first those that compute, then the labs. Two files run at once, and beside them a third that mostly waits. Files that
 * only compute share a process by folder. Every other file runs alone in its process, and `node --test FILE` runs one as this does.
 *
 *   node test/run.ts                  all tests
 *   node test/run.ts --fast           those that need neither a lab nor other programs: what to run before each commit
 *   node test/run.ts --shuffle        the labs' tests in a random order
 *   node test/run.ts --labs PATTERN   of the labs' tests those whose file has this in its name, and nothing else
 */
import { spawn } from 'node:child_process'
import { globSync, readFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { dirname, join } from 'node:path'
import { spec } from 'node:test/reporters'
import { setTimeout } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { onlyComputes } from './support/only-computes.ts'
import { addCounts, type Counts, type FileRun, noCounts, runFiles } from './support/run-file.ts'

const { values: options } = parseArgs({
  options: {
    fast: { type: 'boolean', default: false },
    shuffle: { type: 'boolean', default: false },
    labs: { type: 'string' },
  },
})

const repository = join(import.meta.dirname, '..')
const all = globSync(['src/**/*.test.ts', 'test/**/*.test.ts'], { cwd: repository }).sort()
const imageTests = ['test/image-built.test.ts']

/** Each starts a lab. The longest come first, so that none is left over in the end. */
const longestFirst = ['cut-off', 'failover', 'chained', 'killed', 'leases', 'helm', 'gateways', 'layout-upgrade', 'uninstall', 'conformance/walkthrough', 'lab/walkthrough', 'first-packet', 'pods', 'lab.test'] // biome-ignore format: one line
const place = (file: string): number => (longestFirst.findIndex((part) => file.includes(part)) + 100) % 100
const labFiles = all
  .filter((file) => file.startsWith('test/lab/') || file === 'test/conformance/walkthrough.test.ts')
  .sort((a, b) => (options.shuffle ? Math.random() - 0.5 : place(a) - place(b)))

/** They start Helm, kubectl, the command or an API server dozens of times: minutes, where all others together take one. */
const startsPrograms = (file: string): boolean =>
  /^src\/(cli\/([^/]*(commands|checkout)|install\/(kubectl-apply|rollout|uninstall)|preflight\/dry-run)|install\/chart\/|lab\/apiserver\/(kubectl|print)|cni\/|runtime\/stages)|^test\/(conformance|packaging|image)/.test(
    file,
  )

/** The simulation takes all its seconds on one processor. At the end, the other processor would have nothing to do. */
const isLong = (file: string): boolean => /^test\/simulation\/|fuzz|\.property\.test/.test(file)

/** They wait for real time: for announcements a second apart, for a node that stood still, for a reader that has gone. */
const mostlyWaits = (file: string): boolean =>
  /failover\/(pulse\/prober-thread|announcements|address-watch)|kube\/hardship|runtime\/closed-pipe|packets\/forward-by-stack/.test(
    file,
  )
const computing = all
  .filter((file) => !labFiles.includes(file) && !imageTests.includes(file))
  .sort((a, b) => Number(isLong(b)) - Number(isLong(a)))

/** Seconds that the simulation may take, whose budget this is. */
const simulationSeconds = options.fast ? '40' : '120'
const environment = {
  SALLYPORT_SIMULATION_SECONDS: simulationSeconds,
  SALLYPORT_TEST_RANDOM_SHARE: options.fast ? '0.25' : '1',
  /* Each file loads the same sources again. An entry is used only for the source that it was made from. */
  NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE ?? join(repository, 'build/test-cache'),
}

const reporter = spec()
reporter.pipe(process.stdout)
let counts: Counts = noCounts
const startedMs = performance.now()

const tell = (message: string): void =>
  void reporter.write({ type: 'test:diagnostic', data: { nesting: 0, message, level: 'info' } })

async function runAndTell(run: FileRun): Promise<void> {
  const {
    events,
    counts: own,
    seconds,
  } = await runFiles({
    files: run.files.map((file) => join(repository, file)),
    env: { ...environment, ...run.env },
  })
  counts = addCounts(counts, own)
  for (const event of events) reporter.write(event)
  const where = run.env?.SALLYPORT_LAB_RUNTIME === undefined ? '' : ` on ${run.env.SALLYPORT_LAB_RUNTIME}`
  const [first = ''] = run.files
  const what = run.files.length === 1 ? first : `${run.files.length} files of ${roomOf(first)}`
  tell(`${what}${where}: ${own.tests} tests in ${seconds.toFixed(1)} s`)
}

const run = (file: string): FileRun => ({ files: [file] })
const onContainerd = { files: ['test/lab/walkthrough.test.ts'], env: { SALLYPORT_LAB_RUNTIME: 'containerd' } }

/** The folder below src or test: `src/decide`. */
const roomOf = (file: string): string => dirname(file).split('/').slice(0, 2).join('/')

/** The runs of files that do not start labs. Files that only compute take less time than the start of a process. */
function together(files: readonly string[]): readonly FileRun[] {
  const canShare = (file: string): boolean =>
    !isLong(file) && !startsPrograms(file) && onlyComputes(readFileSync(join(repository, file), 'utf8'))
  const shared = Object.values(Object.groupBy(files.filter(canShare), roomOf)) as string[][]
  return [...files.filter((file) => !canShare(file)).map(run), ...shared.map((each) => ({ files: each }))]
}

interface LaneRun extends FileRun {
  /** What the file needs. */
  readonly after?: Promise<void>
}

/** Two lanes of files that take the processors, and one beside them of files that leave them idle. */
async function runComputing(files: readonly string[]): Promise<void> {
  const oneByOne = async (): Promise<void> => {
    for (const file of files.filter(mostlyWaits)) await runAndTell(run(file))
  }
  await Promise.all([runLane(together(files.filter((file) => !mostlyWaits(file)))), oneByOne()])
}

/** Two workers take the next file when they are done with one. `spare` works beside them while the processors have time for it. */
async function runLane(files: readonly LaneRun[], spare = false): Promise<void> {
  const waiting = [...files]
  const worker = async (mayStart: () => Promise<boolean>): Promise<void> => {
    while (waiting.length > 0) {
      const next = (await mayStart()) ? waiting.shift() : undefined
      await next?.after
      if (next !== undefined) await runAndTell(next)
    }
  }
  const always = async (): Promise<boolean> => true
  await Promise.all([worker(always), worker(always), ...(spare ? [worker(areIdle)] : [])])
}

const idleMs = (): number => cpus().reduce((sum, { times }) => sum + times.idle, 0)

/**
 * Whether the processors had enough left for another lab. A lab that waits for something looks idle for a moment, and one that starts
 * takes everything. So this looks at a whole test's time.
 */
async function areIdle(): Promise<boolean> {
  const enough = 0.35
  const lookMs = 15_000
  const before = idleMs()
  await setTimeout(lookMs)
  return (idleMs() - before) / (lookMs * cpus().length) > enough
}

/** Tests of the image, and labs on containerd, need it. Where its tools are missing it says so, and they are skipped. */
async function buildImage(): Promise<void> {
  const child = spawn('nice', ['-n', '10', process.execPath, 'image/main.ts', '--if-possible'], {
    cwd: repository,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk))
  const code = await new Promise((resolve) => child.on('close', resolve))
  if (code === 0) return
  process.stdout.write(`building the image failed:\n${output}\n`)
  process.exitCode = 1
}

/**
 * Files that compute have both processors to themselves. In labs, much of the time is waiting, so two labs run at once, and a third one
 * while the processors are idle. What needs the image comes after the longest labs, because by then it is built.
 */
async function runEverything(): Promise<void> {
  const image = buildImage()
  const needImage = [...imageTests.map(run), onContainerd].map((each) => ({ ...each, after: image }))
  const labs = labFiles.map(run)
  await runComputing(computing)
  await runLane([...labs.slice(0, 6), ...needImage, ...labs.slice(6)], true)
}

if (options.labs !== undefined)
  await runLane(labFiles.filter((file) => file.includes(options.labs ?? '')).map(run))
else if (options.fast) {
  const left = computing.filter(startsPrograms)
  await runComputing(computing.filter((file) => !startsPrograms(file)))
  tell(`left to "make test": the labs, and ${left.length} files that start other programs`)
} else await runEverything()

const lines = {
  tests: counts.tests,
  suites: counts.suites,
  pass: counts.passed,
  fail: counts.failed,
  cancelled: counts.cancelled,
  skipped: counts.skipped,
  todo: counts.todo,
}
for (const [name, count] of Object.entries(lines)) tell(`${name} ${count}`)
tell(`duration_ms ${(performance.now() - startedMs).toFixed(0)}`)
reporter.end()
if (counts.failed + counts.cancelled > 0) process.exitCode = 1
