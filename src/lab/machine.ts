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

/** A process that may outlive us: the start time tells it from a later one with the same number. */
export interface ProcessId {
  readonly pid: number
  readonly startedAt: string
}

export function identify(pid: number): ProcessId {
  return { pid, startedAt: startTime(pid) ?? '' }
}

/** Field 22 of /proc/pid/stat; the command's name before it may hold anything. */
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

/** Asks, then forces. Only a process that is still the one we started. */
export async function endProcess(process_: ProcessId, patienceMs = 3000): Promise<void> {
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    if (!isRunning(process_)) return
    try {
      process.kill(process_.pid, signal)
    } catch {
      return
    }
    for (let waited = 0; waited < patienceMs && isRunning(process_); waited += 20) await setTimeout(20)
  }
}

/** Runs a command to its end. Throws with what it printed. */
export function run(command: string, words: readonly string[], input?: string): string {
  const result = spawnSync(command, words, { encoding: 'utf8', ...(input === undefined ? {} : { input }) })
  if (result.error)
    throw new Error(`${command} could not be started: ${result.error.message}`, { cause: result.error })
  if (result.status !== 0)
    throw new Error(`${command} ${words.join(' ')} failed: ${(result.stderr || result.stdout).trim()}`)
  return result.stdout
}

/** What goes into which namespaces of a process. The mounts of another are entered last, so paths are looked up there. */
export function enterCommand(
  pid: number,
  namespaces: readonly ('net' | 'mount' | 'uts' | 'pid' | 'cgroup')[],
  words: readonly string[],
): string[] {
  return ['nsenter', `--target=${pid}`, ...namespaces.map((name) => `--${name}`), '--', ...words]
}

/** Starts a process that goes on without us; what it prints goes to a file, and what it reads may come from one. */
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

/** The process puts itself into the group before it becomes what was asked for: nothing of it is ever outside. */
export function inCgroup(directory: string, words: readonly string[]): string[] {
  return ['sh', '-c', 'echo $$ >"$0/cgroup.procs" && exec "$@"', directory, ...words]
}

/** Where cgroup v2 is mounted, beside v1 as well. */
export function findCgroupRoot(): string {
  const mounts = readFileSync('/proc/mounts', 'utf8').split('\n')
  const found = mounts.map((line) => line.split(' ')).find(([, , type]) => type === 'cgroup2')?.[1]
  if (found === undefined)
    throw new Error(
      'cgroup v2 is not mounted, which pausing a node needs: mount -t cgroup2 none /sys/fs/cgroup/unified',
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

/** Ends everything in the group and the groups below it, and removes them. */
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
  throw new Error(`the processes in ${directory} do not end`)
}

function removeEmptyTree(directory: string): void {
  for (const entry of readdirSync(directory, { withFileTypes: true }))
    if (entry.isDirectory()) removeEmptyTree(join(directory, entry.name))
  rmdirSync(directory)
}

/** The first process inside the namespaces that `unshare --fork` made. */
export async function childOf(pid: number): Promise<number> {
  for (let tries = 0; tries < 250; tries++) {
    const children = existsSync(`/proc/${pid}`)
      ? readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim()
      : ''
    const child = Number(children.split(' ')[0])
    if (child > 0) return child
    await setTimeout(8)
  }
  throw new Error(`process ${pid} has started no child in its new namespaces`)
}

export async function until(
  what: string,
  isSo: () => boolean | Promise<boolean>,
  timeoutMs: number,
): Promise<void> {
  for (const end = Date.now() + timeoutMs; ; await setTimeout(25)) {
    if (await isSo()) return
    if (Date.now() > end) throw new Error(`${what}: not after ${timeoutMs / 1000} s`)
  }
}
