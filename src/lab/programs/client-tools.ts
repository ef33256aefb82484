import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { repository } from '../layout.ts'

/** ./setup unpacks two versions: Kubernetes 1.28 with Helm 3, and a recent Kubernetes with Helm 4. */
export type ToolAge = 'oldest' | 'newest'

/** The folder of both tools. client-tools.lock has their versions. */
export const clientToolsFolder = (age: ToolAge): string => join(repository, 'build/tools', age)

/** kubectl 1.30 is the first that runs commands in pods over WebSockets. The lab's API server supports nothing else. */
const oldestMinorWithWebSockets = 30

/** The recent kubectl of ./setup, or else the machine's own. Undefined if neither can be used. */
export function findKubectl(): string | undefined {
  const unpacked = join(clientToolsFolder('newest'), 'kubectl')
  if (existsSync(unpacked)) return unpacked
  return minorOf('kubectl') >= oldestMinorWithWebSockets ? 'kubectl' : undefined
}

/** Zero if there is no such command. Throws after ctrl-C, because then it is not known whether there is one. */
function minorOf(kubectl: string): number {
  const { signal, status, stdout } = spawnSync(kubectl, ['version', '--client', '-o', 'json'], {
    encoding: 'utf8',
  })
  if (signal !== null) throw new Error('interrupted')
  if (status !== 0) return 0
  const { minor = '0' } = (JSON.parse(stdout) as { clientVersion?: { minor?: string } }).clientVersion ?? {}
  return Number.parseInt(minor, 10)
}

/** Why commands that need kubectl cannot run here. Undefined if they can. */
export function kubectlProblem(): string | undefined {
  return findKubectl() === undefined
    ? `kubectl 1.${oldestMinorWithWebSockets} or later is missing: run ./setup on x86-64, or install kubectl`
    : undefined
}
