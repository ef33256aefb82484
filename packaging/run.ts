import { spawnSync } from 'node:child_process'
import { basename } from 'node:path'

/** Runs a program and returns its output. If it fails, the error has the end of the output. */
export function run(program: string, words: readonly string[], directory?: string): string {
  const { status, error, stdout, stderr } = spawnSync(program, words, {
    encoding: 'utf8',
    maxBuffer: 64 << 20,
    ...(directory !== undefined && { cwd: directory }),
  })
  if (error) throw new Error(`${basename(program)} does not start: ${error.message}`)
  if (status !== 0)
    throw new Error(`${basename(program)} ${words[0]} failed: ${`${stdout}${stderr}`.trim().slice(-500)}`)
  return stdout
}
