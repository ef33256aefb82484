import { KubeError } from '../../kube/kube-error.ts'

export interface Progress {
  /** The progress in one line. */
  readonly line: string
  readonly isDone: boolean
  /** Why it is not done yet. Called only if there is no progress. */
  readonly reasons: () => Promise<readonly string[]>
}

interface WaitOptions {
  readonly print: (line: string) => void
  /** Gives up after this long without progress. */
  readonly stallTimeoutMs: number
  /** Gives up after this long in total. */
  readonly timeoutMs?: number
  readonly intervals?: Intervals
}

export interface Intervals {
  readonly checkMs: number
  /** Without progress, the reasons are read this often. */
  readonly reasonsMs: number
  /** Without anything new, the last line is printed again this often. */
  readonly repeatMs: number
}

const defaultIntervals: Intervals = { checkMs: 300, reasonsMs: 3_000, repeatMs: 15_000 }
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** Calls `check` until it is done. Prints each progress, and the reasons if there is none. Returns false if it gave up. */
export async function waitUntilDone(
  check: () => Promise<Progress>,
  { print, stallTimeoutMs, timeoutMs = Number.POSITIVE_INFINITY, intervals = defaultIntervals }: WaitOptions,
): Promise<boolean> {
  const startedAt = Date.now()
  const printedReasons = new Set<string>()
  let [line, changedAt, printedAt, reasonsAt] = ['', startedAt, startedAt, startedAt]
  const printLine = (text: string): void => {
    print(text)
    printedAt = Date.now()
  }
  for (; ; await sleep(intervals.checkMs)) {
    const progress = await checkOrReport(check)
    if (progress.line !== line) {
      line = progress.line
      changedAt = Date.now()
      printLine(line)
    }
    if (progress.isDone) return true
    const now = Date.now()
    const isLast = now - changedAt > stallTimeoutMs || now - startedAt > timeoutMs
    if (isLast || (now - changedAt >= intervals.reasonsMs && now - reasonsAt >= intervals.reasonsMs)) {
      reasonsAt = now
      const reasons = await progress.reasons().catch(() => [])
      for (const reason of reasons.filter((each) => !printedReasons.has(each))) {
        printedReasons.add(reason)
        printLine(`  ${reason}`)
      }
    }
    if (isLast) return false
    if (Date.now() - printedAt < intervals.repeatMs) continue
    printedReasons.clear()
    printLine(`${line} (unchanged for ${Math.round((Date.now() - changedAt) / 1000)} s)`)
  }
}

/** An API server that does not answer for a moment does not end the wait. One that refuses the request does. */
async function checkOrReport(check: () => Promise<Progress>): Promise<Progress> {
  try {
    return await check()
  } catch (error) {
    if (error instanceof KubeError && error.code < 500 && error.code !== 429) throw error
    const line = `the API server does not answer: ${error instanceof Error ? error.message : String(error)}`
    return { line, isDone: false, reasons: async () => [] }
  }
}
