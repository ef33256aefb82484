import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Container } from '../pod-spec.ts'
import { stateDirectory } from '../state-directory.ts'
import type { Bind } from '../volumes/binds.ts'
import { type LogSource, readText, tailOf } from './container-log.ts'

/** As a real kubelet cuts them: what a container wrote itself, and what is taken of its log. */
const limits = { fileBytes: 4096, logBytes: 2048, logLines: 80 }

const defaultPath = '/dev/termination-log'

const fileOf = (uid: string, container: string, restarts: number): string =>
  join(stateDirectory, 'termination', uid, `${container}_${restarts}`)

/** A file of its own for each run of a container, in which it may say why it ends. */
export function terminationBind(uid: string, container: Container, restarts: number): Bind {
  const source = fileOf(uid, container.name, restarts)
  mkdirSync(dirname(source), { recursive: true })
  writeFileSync(source, '', { mode: 0o666 })
  const target = container.terminationMessagePath ?? defaultPath
  return { source, target, isReadOnly: false, propagation: 'None' }
}

/** Why it ended, in its own words: the file, or the end of its log where it failed and wants that. */
export function terminationMessage(
  uid: string,
  { name, terminationMessagePolicy }: Container,
  restarts: number,
  code: number,
  logFile: string,
  decode: LogSource['decode'],
): string {
  const written = readIfThere(fileOf(uid, name, restarts))
    .subarray(0, limits.fileBytes)
    .toString()
  if (written !== '' || code === 0 || terminationMessagePolicy !== 'FallbackToLogsOnError') return written
  return tailOf(readText({ decode }, logFile).text, limits.logLines).subarray(-limits.logBytes).toString()
}

function readIfThere(path: string): Buffer {
  try {
    return readFileSync(path)
  } catch {
    return Buffer.alloc(0)
  }
}
