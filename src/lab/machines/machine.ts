import { spawn, spawnSync } from 'node:child_process'
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'

/** A process that may outlive this one. The start time distinguishes it from a later process with the same pid. */
export interface ProcessId {
  readonly pid: number
  readonly startedAt: string
}

export function identify(pid: number): ProcessId {
  return { pid, startedAt: startTime(pid) ?? '' }
}

/** Field 22 of /proc/pid/stat. The command's name before it may contain spaces and brackets. */
function startTime(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' ? undefined : fields[19]
  } catch {
    return undefined
  }
}

export function isRunning({ pid, startedAt }: ProcessId): boolean {
  return startTime(pid) === startedAt
}

/** Sends SIGTERM, and SIGKILL after the timeout, but only if the process is still the same one. */
export async function endProcess(process_: ProcessId, timeoutMs = 3000): Promise<void> {
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    if (!isRunning(process_)) return
    try {
      process.kill(process_.pid, signal)
    } catch {
      return
    }
    for (let waited = 0; waited < timeoutMs && isRunning(process_); waited += 20) await setTimeout(20)
  }
}

/** Runs a command and returns what it printed. If it fails, the error has its output. */
export function run(command: string, words: readonly string[], input?: string): string {
  const result = spawnSync(command, words, { encoding: 'utf8', ...(input === undefined ? {} : { input }) })
  if (result.error)
    throw new Error(`${command} could not be started: ${result.error.message}`, { cause: result.error })
  if (result.status !== 0)
    throw new Error(`${command} ${words.join(' ')} failed: ${(result.stderr || result.stdout).trim()}`)
  return result.stdout
}

/** The command that runs `words` in namespaces of a process. nsenter enters the mount namespace last, so paths are resolved there. */
export function enterCommand(
  pid: number,
  namespaces: readonly ('net' | 'mount' | 'uts' | 'pid' | 'cgroup')[],
  words: readonly string[],
): string[] {
  return ['nsenter', `--target=${pid}`, ...namespaces.map((name) => `--${name}`), '--', ...words]
}

/** Starts a process that outlives this one. Its output goes to a file, and its input can come from a file. */
export function startDaemon(
  words: readonly string[],
  logFile: string,
  options: { readonly env?: NodeJS.ProcessEnv; readonly cgroup?: string; readonly stdin?: string } = {},
): ProcessId {
  const log = openSync(logFile, 'a')
  const stdin = openSync(options.stdin ?? '/dev/null', 'r')
  const [command = '', ...rest] = options.cgroup === undefined ? words : inCgroup(options.cgroup, words)
  const child = spawn(command, rest, {
    detached: true,
    stdio: [stdin, log, log],
    env: options.env ?? process.env,
  })
  closeSync(log)
  closeSync(stdin)
  if (child.pid === undefined) throw new Error(`${words.join(' ')} could not be started`)
  child.on('error', () => {})
  child.unref()
  return identify(child.pid)
}

/** The process enters the cgroup before it executes the command, so that the command never runs outside it. */
export function inCgroup(directory: string, words: readonly string[]): string[] {
  return ['sh', '-c', 'echo $$ >"$0/cgroup.procs" && exec "$@"', directory, ...words]
}

/** The mount point of cgroup v2, even if v1 is mounted too. */
export function findCgroupRoot(): string {
  const mounts = readFileSync('/proc/mounts', 'utf8').split('\n')
  const found = mounts.map((line) => line.split(' ')).find(([, , type]) => type === 'cgroup2')?.[1]
  if (found === undefined)
    throw new Error(
      'cgroup v2 is not mounted, and the lab needs it to pause nodes: run mount -t cgroup2 none /sys/fs/cgroup/unified',
    )
  return found
}

export function makeCgroup(directory: string): void {
  mkdirSync(directory, { recursive: true })
}

export function freeze(directory: string, isFrozen: boolean): void {
  writeFileSync(join(directory, 'cgroup.freeze'), isFrozen ? '1' : '0')
}

export function isFrozen(directory: string): boolean {
  return existsSync(directory) && readFileSync(join(directory, 'cgroup.freeze'), 'utf8').trim() === '1'
}

/** Kills everything in the cgroup and the cgroups below it, and removes them. */
export async function removeCgroup(directory: string): Promise<void> {
  if (!existsSync(directory)) return
  writeFileSync(join(directory, 'cgroup.kill'), '1')
  for (let tries = 0; tries < 100; tries++) {
    try {
      removeEmptyTree(directory)
      return
    } catch {
      await setTimeout(30)
    }
  }
  throw new Error(`the processes in the cgroup ${directory} do not end`)
}

function removeEmptyTree(directory: string): void {
  for (const entry of readdirSync(directory, { withFileTypes: true }))
    if (entry.isDirectory()) removeEmptyTree(join(directory, entry.name))
  rmdirSync(directory)
}

/** The first process in the namespaces that `unshare --fork` created. */
export async function childOf(pid: number): Promise<number> {
  for (let tries = 0; tries < 250; tries++) {
    const children = existsSync(`/proc/${pid}`)
      ? readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim()
      : ''
    const child = Number(children.split(' ')[0])
    if (child > 0) return child
    await setTimeout(8)
  }
  throw new Error(`process ${pid} did not start a child in its new namespaces`)
}

/**
 * Waits until the condition holds. `goal` names it in the error, as in `the API server answers`. Often it takes a process to find out,
 * so the pauses grow.
 */
export async function until(
  goal: string,
  isTrue: () => boolean | Promise<boolean>,
  timeoutMs: number,
): Promise<void> {
  const end = Date.now() + timeoutMs
  for (let pauseMs = 25; ; pauseMs = Math.min(pauseMs * 1.2, 200)) {
    if (await isTrue()) return
    if (Date.now() > end) throw new Error(`timed out after ${timeoutMs / 1000} s: ${goal}`)
    await setTimeout(pauseMs)
  }
}
