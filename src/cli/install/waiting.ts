import { KubeError } from '../../kube/kube-error.ts'

/** What a long wait waits for, as it is now. */
export interface Look {
  /** How far it is, in one line. */
  readonly line: string
  readonly isDone: boolean
  /** What keeps it from being done. Asked only if it does not get further. */
  readonly why: () => Promise<readonly string[]>
}

export interface Waiting {
  readonly print: (line: string) => void
  /** How long it may stay as it is. */
  readonly stuckAfterMs: number
  /** How long it may take altogether. */
  readonly limitMs?: number
  readonly pace?: Pace
}

export interface Pace {
  readonly lookMs: number
  /** Something that takes as long as this is worth a reason, and a new one is looked for as often. */
  readonly whyMs: number
  /** A wait that has nothing new to say says that it still waits. */
  readonly repeatMs: number
}

const usualPace: Pace = { lookMs: 300, whyMs: 3_000, repeatMs: 15_000 }
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** Looks until it is done, and says what changes, what it waits for and why. False: it gave up. */
export async function waitUntilDone(
  look: () => Promise<Look>,
  { print, stuckAfterMs, limitMs = Number.POSITIVE_INFINITY, pace = usualPace }: Waiting,
): Promise<boolean> {
  const startedAt = Date.now()
  const told = new Set<string>()
  let [line, movedAt, printedAt, askedAt] = ['', startedAt, startedAt, startedAt]
  const say = (text: string): void => {
    print(text)
    printedAt = Date.now()
  }
  for (; ; await sleep(pace.lookMs)) {
    const state = await lookOrSay(look)
    if (state.line !== line) {
      line = state.line
      movedAt = Date.now()
      say(line)
    }
    if (state.isDone) return true
    const now = Date.now()
    const isLast = now - movedAt > stuckAfterMs || now - startedAt > limitMs
    if (isLast || (now - movedAt >= pace.whyMs && now - askedAt >= pace.whyMs)) {
      askedAt = now
      const reasons = await state.why().catch(() => [])
      for (const reason of reasons.filter((each) => !told.has(each))) {
        told.add(reason)
        say(`  ${reason}`)
      }
    }
    if (isLast) return false
    if (Date.now() - printedAt < pace.repeatMs) continue
    told.clear()
    say(`${line} (since ${Math.round((Date.now() - movedAt) / 1000)} s)`)
  }
}

/** An API server that is away for a moment ends no wait. One that refuses does. */
async function lookOrSay(look: () => Promise<Look>): Promise<Look> {
  try {
    return await look()
  } catch (error) {
    if (error instanceof KubeError && error.code < 500 && error.code !== 429) throw error
    const line = `the API server does not answer: ${error instanceof Error ? error.message : String(error)}`
    return { line, isDone: false, why: async () => [] }
  }
}
