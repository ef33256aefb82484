import { join } from 'node:path'
import { run } from 'node:test'

/** What Node.js's test runner says of one thing that happened. */
export type TestEvent = Parameters<Parameters<ReturnType<typeof run>['on']>[1]>[0] & {
  readonly type: string
  readonly data: unknown
}

export interface Counts {
  readonly tests: number
  readonly suites: number
  readonly passed: number
  readonly failed: number
  readonly cancelled: number
  readonly skipped: number
  readonly todo: number
}

export const noCounts: Counts = {
  tests: 0,
  suites: 0,
  passed: 0,
  failed: 0,
  cancelled: 0,
  skipped: 0,
  todo: 0,
}

export function addCounts(a: Counts, b: Counts): Counts {
  const names = Object.keys(noCounts) as (keyof Counts)[]
  return Object.fromEntries(names.map((name) => [name, a[name] + b[name]])) as unknown as Counts
}

export interface FileRun {
  /** The paths of test files that share a process. */
  readonly files: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

export interface FileResult {
  /** To be told to a reporter, in this order. */
  readonly events: readonly TestEvent[]
  readonly counts: Counts
  readonly seconds: number
}

/** Runs test files in one process of their own, by Node.js's test runner. What it says of the whole run is left out. */
export async function runFiles({ files, env = {} }: FileRun): Promise<FileResult> {
  const startedMs = performance.now()
  const events: TestEvent[] = []
  let counts = noCounts
  const severalFiles = join(import.meta.dirname, 'several-files.ts')
  const stream = run({
    files: files.length === 1 ? files : [severalFiles],
    concurrency: 1,
    env: { ...process.env, ...env, SALLYPORT_TEST_FILES: JSON.stringify(files) },
  })
  for await (const event of stream as AsyncIterable<TestEvent>) {
    const data = event.data as { readonly file?: string; readonly nesting?: number; readonly counts?: Counts }
    if (event.type === 'test:summary') {
      if (data.file === undefined && data.counts !== undefined) counts = data.counts
    } else if (event.type !== 'test:diagnostic' || data.nesting !== 0 || data.file !== undefined)
      events.push(event)
  }
  return { events, counts, seconds: (performance.now() - startedMs) / 1000 }
}
