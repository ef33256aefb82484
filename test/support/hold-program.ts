import { spawn } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { repository } from '../../src/lab/layout.ts'
import { run } from '../../src/lab/machines/machine.ts'

/** The program that holds connections, and serves them: `hold.c`. */
export const holdBinary = join(repository, 'build/hold')

export function compileHold(): void {
  mkdirSync(join(repository, 'build'), { recursive: true })
  run('gcc', ['-O2', '-Wall', '-Wextra', '-o', holdBinary, join(import.meta.dirname, 'hold.c')])
}

/** Runs a command to its end without blocking this process; what it printed. */
export function capture(words: readonly string[], env: NodeJS.ProcessEnv = process.env): Promise<string> {
  const [command = '', ...rest] = words
  return new Promise((resolve, reject) => {
    const child = spawn(command, rest, { env, stdio: ['ignore', 'pipe', 'pipe'] })
    let [output, errors] = ['', '']
    child.stdout.on('data', (chunk) => (output += chunk))
    child.stderr.on('data', (chunk) => (errors += chunk))
    child.on('error', reject)
    child.on('close', (code) =>
      code === 0 ? resolve(output) : reject(new Error(`${words.join(' ')} failed: ${errors || output}`)),
    )
  })
}
