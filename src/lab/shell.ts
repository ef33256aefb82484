import { spawn, spawnSync } from 'node:child_process'
import { labEnvironment } from './environment.ts'
import type { LabState } from './lab-state.ts'
import { labPaths } from './layout.ts'
import { enterCommand } from './machines/machine.ts'

/**
 * The command that runs `words` on the lab's host, where the user types the walkthrough. It has the host's network and hostname, and
 * this machine's files. It can reach only the lab's network.
 */
export function hostCommand(state: LabState, words: readonly string[]): string[] {
  if (state.host === undefined) throw new Error(`the lab ${state.name} is not complete`)
  return enterCommand(state.host.init.pid, ['net', 'uts'], words)
}

/** Runs a shell, interactive if standard input is a terminal. Returns its exit code. */
export function openShell(state: LabState): number {
  const interactive = process.stdin.isTTY ? ['--rcfile', `${labPaths(state.name).home}/.bashrc`, '-i'] : []
  const [command = '', ...words] = hostCommand(state, ['bash', ...interactive])
  return (
    spawnSync(command, words, {
      stdio: 'inherit',
      env: labEnvironment(state.name),
      cwd: labPaths(state.name).home,
    }).status ?? 1
  )
}

/** Runs a command with this terminal. Returns its exit code. */
export function execInherit(state: LabState, words: readonly string[]): number {
  const [command = '', ...rest] = hostCommand(state, words)
  return (
    spawnSync(command, rest, {
      stdio: 'inherit',
      env: labEnvironment(state.name),
      cwd: labPaths(state.name).home,
    }).status ?? 1
  )
}

interface ExecResult {
  readonly code: number
  readonly output: string
}

/** Runs a command and returns its exit code and everything that it printed. */
export function exec(
  state: LabState,
  words: readonly string[],
  options: {
    readonly env?: NodeJS.ProcessEnv
    readonly signal?: AbortSignal
    readonly input?: string
  } = {},
): Promise<ExecResult> {
  const [command = '', ...rest] = hostCommand(state, words)
  return new Promise((resolve, reject) => {
    const child = spawn(command, rest, {
      env: { ...labEnvironment(state.name), ...options.env },
      cwd: labPaths(state.name).home,
      /* Standard input stays open, because a terminal whose input ends at once adds a stray character to the output. */
      stdio: ['pipe', 'pipe', 'pipe'],
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    })
    if (options.input !== undefined) child.stdin.end(options.input)
    let output = ''
    child.stdout.on('data', (chunk) => (output += chunk))
    child.stderr.on('data', (chunk) => (output += chunk))
    child.on('error', reject)
    child.on('close', (code) => resolve({ code: code ?? 1, output }))
  })
}
