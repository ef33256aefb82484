import { closeSync, existsSync, fstatSync, openSync, readSync } from 'node:fs'
import { watch } from 'node:fs/promises'
import { setTimeout } from 'node:timers/promises'

/** One container's output file, and whether more may come. */
export interface LogSource {
  readonly logFile: string
  readonly isAlive: () => boolean
  /** What was printed, and how much of the raw bytes holds that; runtimes write more than that. */
  readonly decode: (raw: Buffer) => { readonly text: Buffer; readonly consumed: number }
}

/** A container's end is no change of its file: it is noticed by looking again. */
const lookAgainMs = 500

/** The file's content from an offset on. Empty if there is no file yet. */
export function readLog(logFile: string, from = 0): Buffer {
  if (!existsSync(logFile)) return Buffer.alloc(0)
  const file = openSync(logFile, 'r')
  try {
    const buffer = Buffer.alloc(Math.max(0, fstatSync(file).size - from))
    return buffer.subarray(0, readSync(file, buffer, 0, buffer.length, from))
  } finally {
    closeSync(file)
  }
}

/** Everything that was printed so far, and the offset where it ends in the file. */
export function readText(
  { decode }: Pick<LogSource, 'decode'>,
  logFile: string,
): ReturnType<LogSource['decode']> {
  return decode(readLog(logFile))
}

/** The last lines, each with its end; the very last may lack it. */
export function tailOf(log: Buffer, lines: number): Buffer {
  if (lines <= 0) return Buffer.alloc(0)
  const newline = 10
  let start = log.length
  for (let found = 0; start > 0; start--)
    if (log[start - 1] === newline && start !== log.length && ++found === lines) break
  return log.subarray(start)
}

/** The log from a byte on, until the container has ended and all of it is sent, or until the signal. */
export async function* followLog(
  { logFile, isAlive, decode }: LogSource,
  from: number,
  signal: AbortSignal,
): AsyncIterable<Buffer> {
  const ended = new AbortController()
  const changes = watch(logFile, { signal: AbortSignal.any([signal, ended.signal]) })[Symbol.asyncIterator]()
  let change: Promise<unknown> | undefined
  for (let position = from; !signal.aborted; ) {
    const wasAlive = isAlive()
    const { text, consumed } = decode(readLog(logFile, position))
    position += consumed
    if (consumed > 0) yield text
    else if (!wasAlive) break
    else {
      change ??= changes.next().catch(() => {})
      await Promise.race([change.then(() => (change = undefined)), setTimeout(lookAgainMs)])
    }
  }
  /* Not by return(), which would wait for the change that it waits for. */
  ended.abort()
}
