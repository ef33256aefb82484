import { spawnSync } from 'node:child_process'

/** Runs a command and returns its output. If it fails, the error has the end of the output. */
export function run(command: string, words: readonly string[], env: NodeJS.ProcessEnv = {}): string {
  const { error, status, stdout, stderr } = spawnSync(command, words, {
    encoding: 'utf8',
    maxBuffer: 64 << 20,
    env: { ...process.env, ...env },
  })
  if (error !== undefined)
    throw new Error(`${command} could not be started: ${error.message}`, { cause: error })
  if (status !== 0)
    throw new Error(`${command} ${words.join(' ')} failed: ${`${stdout}${stderr}`.trim().slice(-2000)}`)
  return stdout
}
