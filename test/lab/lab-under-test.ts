import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { type LabOptions, startLab, stopLab } from '../../src/lab/lab.ts'
import { type LabState, loadLab, requireLab, runtimeNames } from '../../src/lab/lab-state.ts'
import { missingForContainerd, missingForLab } from '../../src/lab/requirements.ts'
import { exec } from '../../src/lab/shell.ts'
import { type Story, tellStory } from './story.ts'

/**
 * What runs the containers of the labs under test. Processes are quicker, so they are the default; the same tests run on
 * containerd with SALLYPORT_LAB_RUNTIME=containerd.
 */
export const runtime = runtimeNames.find((name) => name === process.env.SALLYPORT_LAB_RUNTIME) ?? 'processes'

/** Why lab tests cannot run here; false when they can. */
export const cannotRun: string | false =
  [...missingForLab(), ...(runtime === 'containerd' ? missingForContainerd() : [])].join('; ') || false

/** No measure of speed, which on a busy machine is anybody's guess: what hangs must end some day. */
export const hangTimeoutMs = 900_000

export interface LabPlan extends Omit<LabOptions, 'name'> {
  /** Absent: nothing is installed. */
  readonly story?: Story
}

/** A lab for the tests of one file, taken away after them whatever happened. */
export function labFor(
  name: string,
  { story, ...options }: LabPlan = {},
): { readonly state: () => LabState } {
  before(
    async () => {
      if (cannotRun) return
      if (loadLab(name) !== undefined) await stopLab(name)
      const state = await startLab({ name, runtime, ...options })
      if (story !== undefined) await tellStory(state, story)
    },
    { timeout: hangTimeoutMs },
  )
  after(async () => {
    if (loadLab(name) !== undefined) await stopLab(name)
  })
  return { state: () => requireLab(name) }
}

/** Runs a command as if typed in the lab's shell, and fails where it fails. */
export async function type(state: LabState, command: string): Promise<string> {
  const { code, output } = await exec(state, ['bash', '-c', command])
  assert.equal(code, 0, `${command}\n${output}`)
  return output.trim()
}

export const curlOutpost = 'curl -s --max-time 2 http://172.18.0.7:8000'

/** What an install leaves in its namespace, by name. Every namespace has kube-root-ca.crt, from the cluster's own controllers. */
export function ownObjects(kinds: string): string {
  return `kubectl -n kube-system get ${kinds} -o name | grep -vx configmap/kube-root-ca.crt || true`
}

/** Which addresses the outpost has seen, and how often. */
export async function seenByOutpost(state: LabState): Promise<Record<string, number>> {
  return JSON.parse(await type(state, `${curlOutpost}/seen`)) as Record<string, number>
}

/** The pauses grow, because to find out takes a process or two. */
export async function eventually(
  what: string,
  isSo: () => Promise<boolean>,
  timeoutMs = 60_000,
): Promise<void> {
  const end = Date.now() + timeoutMs
  for (let pauseMs = 100; ; pauseMs = Math.min(pauseMs * 1.25, 500)) {
    if (await isSo()) return
    assert.ok(Date.now() < end, `${what}: not within ${timeoutMs / 1000} s`)
    await setTimeout(pauseMs)
  }
}

/** Processes inside a node by a part of their command line, as numbers of this machine. */
export async function processesOf(
  state: LabState,
  node: string,
  command: string,
): Promise<readonly number[]> {
  const machine = state.nodes.find(({ name }) => name === node)?.machine
  assert.ok(machine, `there is no node ${node}`)
  /* A container runtime gives each container a group below the node's. */
  const groups = globSync('**/cgroup.procs', { cwd: machine.cgroup }).map((path) =>
    join(machine.cgroup, path),
  )
  const pids = groups.flatMap((path) => readFileSync(path, 'utf8').trim().split('\n').map(Number))
  return pids.filter((pid) => commandOf(pid).includes(command))
}

/** Probes come and go: one may have ended since it was listed. */
function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
  } catch {
    return ''
  }
}
