import { createHash } from 'node:crypto'
import { join } from 'node:path'
import type { LabContainer, LabState } from '../lab-state.ts'
import { labPaths } from '../layout.ts'
import { isFrozen, isRunning, type ProcessId } from '../machines/machine.ts'

/** A node or container, as the commands use it. */
interface Target {
  readonly id: string
  readonly name: string
  readonly image: string
  readonly octet: number
  readonly machine: LabContainer['machine']
  readonly main: ProcessId
  readonly environment: readonly string[]
  readonly startedAt: string
  readonly isNode: boolean
}

export function targetsOf(state: LabState): Target[] {
  const nodes = state.nodes.map(({ name, lastOctet, machine }) => ({
    id: createHash('sha256').update(name).digest('hex'),
    name,
    image: 'kindest/node',
    octet: lastOctet,
    machine,
    main: machine.init,
    environment: [],
    startedAt: state.startedAt,
    isNode: true,
  }))
  return [...nodes, ...state.containers.map((container) => ({ ...container, isNode: false }))]
}

export function findTarget(state: LabState, name: string): Target {
  const target = targetsOf(state).find(
    (each) => each.name === name || (name.length >= 4 && each.id.startsWith(name)),
  )
  if (target === undefined) throw dockerError(`No such container: ${name}`)
  return target
}

/** An error in the words of docker’s own engine. */
export const dockerError = (text: string): Error => new Error(`Error response from daemon: ${text}`)

export function stateOf({ machine, main }: Target): 'running' | 'paused' | 'exited' {
  if (!isRunning(main) || !isRunning(machine.init)) return 'exited'
  return isFrozen(machine.cgroup) ? 'paused' : 'running'
}

/** A container may have the name of a process of the lab, so its log is named after its id. */
export function logOf(
  state: LabState,
  { id, name, isNode }: { id: string; name: string; isNode?: boolean },
): string {
  return join(labPaths(state.name).logs, isNode ? `kubelet-${name}.log` : `container-${id.slice(0, 12)}.log`)
}
