import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { nodeBinary } from '../environment.ts'
import type { LabState } from '../lab-state.ts'
import { labPaths, repository } from '../layout.ts'

/** The command that runs one of the lab's programs. `file` is below src/lab. */
export const programWords = (file: string, words: readonly string[]): string[] => [
  nodeBinary,
  '--disable-warning=ExperimentalWarning',
  `${repository}/src/lab/${file}`,
  ...words,
]

export const logOf = (state: LabState, name: string): string => join(labPaths(state.name).logs, `${name}.log`)

/** The last words of a daemon that has ended. */
export const endOfLog = (state: LabState, name: string): string =>
  readFileSync(logOf(state, name), 'utf8').trim().slice(-500)
