import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import type { Machine } from './host.ts'
import { apiServerPort, ipv4Of, isLabName, labPaths, labsDirectory, type NodePlan } from './layout.ts'
import { isRunning, type ProcessId } from './machine.ts'

/** What runs the containers of a lab's nodes: processes of this machine in namespaces, or Debian's containerd and runc. */
export const runtimeNames = ['processes', 'containerd'] as const
export type RuntimeName = (typeof runtimeNames)[number]

/** Everything of a lab that must be found again by a later command, and taken away in the end. */
export interface LabState {
  readonly name: string
  readonly startedAt: string
  /** Who starts it. A demo's process lives as long as its lab should. */
  readonly startedBy: ProcessId
  /** False until all of it has been started. */
  readonly isComplete: boolean
  readonly cgroup: string
  readonly runtime: RuntimeName
  readonly host?: Machine
  readonly nodes: readonly (NodePlan & { readonly machine: Machine })[]
  readonly containers: readonly LabContainer[]
  readonly daemons: Readonly<Record<string, ProcessId>>
  readonly tokens: Readonly<Record<string, string>>
  /** Undefined: the lab has an API server of its own. */
  readonly joined?: JoinedCluster
}

/** What a lab that works against somebody else's API server found there. */
export interface JoinedCluster {
  readonly server: string
  /** Kubelets speak as their nodes; otherwise with the rights of the kubeconfig's user. */
  readonly impersonatesNodes: boolean
  readonly needsControllers: boolean
}

/** What `docker run` started. */
export interface LabContainer {
  readonly id: string
  readonly name: string
  readonly image: string
  readonly octet: number
  readonly environment: readonly string[]
  readonly command: readonly string[]
  readonly machine: Machine
  /** What it was started for: when this has ended, so has the container. */
  readonly main: ProcessId
  readonly startedAt: string
}

/** Undefined: there is none. That it cannot be read is another matter, and thrown. */
export function loadLab(name: string): LabState | undefined {
  try {
    return JSON.parse(readFileSync(labPaths(name).state, 'utf8')) as LabState
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** Written before what it says is relied upon: a lab that dies half-started can be taken away. */
export function saveLab(state: LabState): void {
  const paths = labPaths(state.name)
  mkdirSync(paths.directory, { recursive: true, mode: 0o700 })
  writeFileSync(`${paths.state}.new`, JSON.stringify(state, null, 2))
  renameSync(`${paths.state}.new`, paths.state)
}

export function listLabs(): string[] {
  return existsSync(labsDirectory)
    ? readdirSync(labsDirectory).filter((name) => isLabName(name) && existsSync(labPaths(name).state))
    : []
}

export function requireLab(name: string): LabState {
  const lab = loadLab(name)
  if (lab === undefined)
    throw new Error(`there is no lab named ${name}: start one with "${labVerb('up', name)}"`)
  if (!lab.isComplete) throw new Error(unfinishedLab(lab))
  return lab
}

/** A verb as a person types it for this lab. */
export function labVerb(verb: string, name: string): string {
  return `sallyport lab ${verb}${name === 'lab' ? '' : ` --name ${name}`}`
}

/** Of a lab that is not complete: what became of it, and what to do. */
export function unfinishedLab({ name, startedBy }: LabState): string {
  return isRunning(startedBy)
    ? `the lab ${name} is being started at this moment`
    : `the lab ${name} was only half started: "${labVerb('down', name)}" takes it away`
}

/** Where the API server of the lab listens, its own or the relay to another. */
export function controlPlaneOf(state: LabState): { machine: Machine; address: string } {
  const node = state.nodes.find(({ isControlPlane }) => isControlPlane) ?? state.nodes[0]
  if (node === undefined) throw new Error('a lab needs a node')
  return { machine: node.machine, address: ipv4Of(node.lastOctet) }
}

export function apiServerUrl(state: LabState): string {
  return `https://${controlPlaneOf(state).address}:${apiServerPort}`
}
