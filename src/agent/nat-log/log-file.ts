import {
  closeSync,
  existsSync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'

const logFileName = 'nat.log'

interface LogFileOptions {
  readonly directory: string
  readonly maxBytes: number
  /** Rotated files and the current one together. */
  readonly files: number
}

/** The names of the log's files, the newest first. */
export function logFiles(directory: string, files: number): readonly string[] {
  const name = (index: number): string =>
    join(directory, index === 0 ? logFileName : `${logFileName}.${index}`)
  return Array.from({ length: files }, (_, index) => name(index))
}

/**
 * A file of lines, each written at once, so that a killed process leaves whole lines. `nat.log` is the newest, `nat.log.1` is
 * the one before.
 */
export class LogFile implements Disposable {
  readonly #options: LogFileOptions
  #fd: number
  #size: number

  /** Removes a line that a killed process or a crash of the machine has left half written. */
  constructor(options: LogFileOptions) {
    this.#options = options
    mkdirSync(options.directory, { recursive: true, mode: 0o750 })
    this.#fd = openLog(this.#current)
    this.#size = repairEnd(this.#fd)
  }

  get #current(): string {
    return join(this.#options.directory, logFileName)
  }

  /** The last line that is in the log. */
  lastLine(): string | undefined {
    const last = endOf(this.#fd, this.#size)
    if (last !== undefined) return last
    const previous = logFiles(this.#options.directory, 2)[1]
    if (previous === undefined || !existsSync(previous)) return undefined
    const fd = openSync(previous, 'r')
    try {
      return endOf(fd, fstatSync(fd).size)
    } finally {
      closeSync(fd)
    }
  }

  /** Throws if the line cannot be written. Then nothing of it is in the file. */
  append(line: string): void {
    const bytes = Buffer.from(`${line}\n`)
    if (this.#size > 0 && this.#size + bytes.length > this.#options.maxBytes) this.#rotate()
    const wanted = this.#size + bytes.length
    try {
      let written = 0
      while (written < bytes.length) written += writeSync(this.#fd, bytes, written)
      this.#size = wanted
    } catch (error) {
      ftruncateSync(this.#fd, this.#size)
      throw error
    }
  }

  #rotate(): void {
    const names = logFiles(this.#options.directory, this.#options.files)
    const last = names.at(-1)
    if (last !== undefined) rmSync(last, { force: true })
    for (const [index, name] of [...names.entries()].toReversed()) {
      const next = names[index + 1]
      if (next !== undefined && existsSync(name)) renameSync(name, next)
    }
    closeSync(this.#fd)
    this.#fd = openLog(this.#current)
    this.#size = fstatSync(this.#fd).size
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd)
  }
}

/** Only root and its group read it: it says who talked when. */
const openLog = (path: string): number => openSync(path, 'a+', 0o640)

const readAtOnce = 1 << 16

/** The bytes before `size`, as many as a line can have. */
function tail(fd: number, size: number): Buffer {
  const length = Math.min(size, readAtOnce)
  const bytes = Buffer.alloc(length)
  return bytes.subarray(0, readSync(fd, bytes, 0, length, size - length))
}

function repairEnd(fd: number): number {
  const { size } = fstatSync(fd)
  const bytes = tail(fd, size)
  const whole = size - bytes.length + bytes.lastIndexOf('\n') + 1
  if (whole < size) ftruncateSync(fd, whole)
  return whole
}

function endOf(fd: number, size: number): string | undefined {
  return tail(fd, size).toString('utf8').trimEnd().split('\n').at(-1) || undefined
}
