import { spawn } from 'node:child_process'
import { join } from 'node:path'

export interface Ending {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

const mostMs = 60_000

/** Compiled sources of earlier starts: without them, each start compiles for a second. */
const { NODE_COMPILE_CACHE } = process.env
const cache = NODE_COMPILE_CACHE === undefined ? {} : { NODE_COMPILE_CACHE }

/** For tests: the command as a person starts it, with an environment of its own. `onOutput` may end it by the signal. */
export function runCommand(
  words: readonly string[],
  environment: Readonly<Record<string, string>>,
  options: { readonly signal?: AbortSignal; readonly onOutput?: (stdout: string) => void } = {},
): Promise<Ending> {
  const child = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', join(import.meta.dirname, '../../src/cli/main.ts'), ...words],
    {
      env: { ...cache, ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: mostMs,
      killSignal: 'SIGKILL',
    },
  )
  options.signal?.addEventListener('abort', () => child.kill('SIGTERM'))
  const output = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const)
    child[name].setEncoding('utf8').on('data', (text: string) => {
      output[name] += text
      options.onOutput?.(output.stdout)
    })
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => resolve({ code, ...output }))
  })
}
