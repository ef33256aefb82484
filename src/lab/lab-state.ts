import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { replaceFile } from '../runtime/replace-file.ts'
import { apiServerPort, ipv4Of, isLabName, labPaths, labsDirectory, type NodePlan } from './layout.ts'
import type { Machine } from './machines/host.ts'
import { isRunning, type ProcessId } from './machines/machine.ts'

/** How the lab's nodes run containers: as processes of this machine in namespaces, or with Debian's containerd and runc. */
export const runtimeNames = ['processes', 'containerd'] as const
export type RuntimeName = (typeof runtimeNames)[number]

/** Everything that a later command must know about a lab, so that it can use and remove it. */
export interface LabState {
  readonly name: string
  readonly startedAt: string
  /** The process that started the lab. The process of a demo lives as long as its lab. */
  readonly startedBy: ProcessId
  /** False until everything has started. */
  readonly isComplete: boolean
  readonly cgroup: string
  readonly runtime: RuntimeName
  readonly host?: Machine
  readonly nodes: readonly (NodePlan & { readonly machine: Machine })[]
  readonly containers: readonly LabContainer[]
  readonly daemons: Readonly<Record<string, ProcessId>>
  readonly tokens: Readonly<Record<string, string>>
  /** Undefined if the lab has its own API server. */
  readonly joined?: JoinedCluster
}

/** The cluster that a lab has joined. */
export interface JoinedCluster {
  readonly server: string
  /** Whether kubelets impersonate their nodes. Otherwise they act as the kubeconfig's user. */
  readonly impersonatesNodes: boolean
  readonly needsControllers: boolean
}

/** A container that `docker run` started. */
export interface LabContainer {
  readonly id: string
  readonly name: string
  readonly image: string
  readonly octet: number
  readonly environment: readonly string[]
  readonly command: readonly string[]
  readonly machine: Machine
  /** The process of the container's command. When it ends, the container has exited. */
  readonly main: ProcessId
  readonly startedAt: string
}

/** Undefined if there is no such lab. Throws if its state cannot be read. */
export function loadLab(name: string): LabState | undefined {
  try {
    return JSON.parse(readFileSync(labPaths(name).state, 'utf8')) as LabState
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** Saved at every step of the start, so that a lab that failed to start can be removed. */
export function saveLab(state: LabState): void {
  const paths = labPaths(state.name)
  mkdirSync(paths.directory, { recursive: true, mode: 0o700 })
  replaceFile(paths.state, JSON.stringify(state, null, 2))
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

/** The command line of a verb for this lab. */
export function labVerb(verb: string, name: string): string {
  return `sallyport lab ${verb}${name === 'lab' ? '' : ` --name ${name}`}`
}

/** Why a lab is not complete, and what to do. */
export function unfinishedLab({ name, startedBy }: LabState): string {
  return isRunning(startedBy)
    ? `the lab ${name} is still starting`
    : `the lab ${name} started only partly: remove it with "${labVerb('down', name)}"`
}

/** The node on which the lab's API server or relay listens. */
export function controlPlaneOf(state: LabState): { machine: Machine; address: string } {
  const node = state.nodes.find(({ isControlPlane }) => isControlPlane) ?? state.nodes[0]
  if (node === undefined) throw new Error('a lab needs a node')
  return { machine: node.machine, address: ipv4Of(node.lastOctet) }
}

export function apiServerUrl(state: LabState): string {
  return `https://${controlPlaneOf(state).address}:${apiServerPort}`
}
