import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { type LabContainer, type LabState, saveLab } from '../lab-state.ts'
import { keptFolders, labPaths, network, repository } from '../layout.ts'
import { connectToBridge, startMachine } from '../machines/host.ts'
import {
  childOf,
  endProcess,
  enterCommand,
  freeze,
  identify,
  inCgroup,
  isFrozen,
  isRunning,
  removeCgroup,
  startDaemon,
} from '../machines/machine.ts'
import { findImage, unknownImage } from '../programs/images.ts'
import { dockerError, findTarget, logOf, stateOf, targetsOf } from './targets.ts'

function requireContainer(state: LabState, name: string): LabContainer {
  const target = findTarget(state, name)
  const container = state.containers.find(({ id }) => id === target.id)
  if (container === undefined)
    throw new Error(
      `${name} is a node of the lab: freeze it with "docker pause", or remove the whole lab with "sallyport lab down"`,
    )
  return container
}

/** Runs a command in a node or container, with this terminal. Returns its exit code. */
export function dockerExec(
  state: LabState,
  name: string,
  words: readonly string[],
  { environment, isDetached }: { readonly environment: readonly string[]; readonly isDetached: boolean },
): number {
  const target = findTarget(state, name)
  const { machine, name: full } = target
  const how = stateOf(target)
  if (how === 'paused') throw dockerError(`container ${full} is paused, unpause the container before exec`)
  if (how === 'exited') throw dockerError(`container ${full} is not running`)
  const path = `${labPaths(state.name).nodeBin}:${repository}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`
  const given = Object.fromEntries(environment.map((pair) => pair.split(/=(.*)/s).slice(0, 2)))
  const entered = enterCommand(
    machine.init.pid,
    ['net', 'mount', 'uts', 'pid'],
    ['env', `PATH=${path}`, ...words],
  )
  const env = { TERM: process.env.TERM ?? 'dumb', HOME: '/root', PATH: path, ...given }
  if (isDetached) {
    startDaemon(entered, '/dev/null', { cgroup: machine.cgroup, env })
    return 0
  }
  const [command = '', ...rest] = inCgroup(machine.cgroup, entered)
  const result = spawnSync(command, rest, { stdio: 'inherit', env })
  if (result.error) throw result.error
  return result.status ?? 137
}

interface RunOptions {
  readonly name: string | undefined
  readonly image: string
  readonly environment: readonly string[]
  readonly command: readonly string[]
}

/** Starts a container on the lab's network, with the next free address. Returns its id. */
export async function dockerRun(state: LabState, options: RunOptions): Promise<string> {
  const image = findImage(options.image)
  if (image === undefined) throw new Error(`docker: ${unknownImage(options.image)}`)
  if (state.host === undefined) throw new Error('the lab is not complete')
  const id = randomBytes(32).toString('hex')
  const name = options.name ?? `container-${id.slice(0, 6)}`
  if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/.test(name))
    throw dockerError(`Invalid container name (${name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`)
  if (targetsOf(state).some((target) => target.name === name))
    throw dockerError(
      `Conflict. The container name "/${name}" is already in use. Remove it first: docker rm -f ${name}`,
    )
  const octet = nextOctet(state)
  const cgroup = join(state.cgroup, `container-${id.slice(0, 12)}`)
  const machine = await startMachine(
    id.slice(0, 12),
    join(labPaths(state.name).directory, 'containers', id.slice(0, 12)),
    cgroup,
    { hasNodeMounts: false, keptFolders: keptFolders(state.name) },
  )
  try {
    connectToBridge(state.host, machine, octet)
  } catch (error) {
    await removeCgroup(cgroup)
    throw error
  }
  const started = {
    id,
    name,
    image: options.image,
    octet,
    environment: options.environment,
    command: options.command.length > 0 ? options.command : image.command,
    machine,
  }
  saveLab({ ...state, containers: [...state.containers, startMain(state, started)] })
  return id
}

/** Starts the container's command. */
function startMain(state: LabState, container: Omit<LabContainer, 'main' | 'startedAt'>): LabContainer {
  const { machine, environment, command } = container
  const env = {
    ...process.env,
    ...Object.fromEntries(environment.map((pair) => pair.split(/=(.*)/s).slice(0, 2))),
  }
  const words = enterCommand(machine.init.pid, ['net', 'mount', 'uts', 'pid'], command)
  const main = startDaemon(words, logOf(state, container), { cgroup: machine.cgroup, env })
  return { ...container, main, startedAt: new Date().toISOString() }
}

function nextOctet(state: LabState): number {
  const taken = new Set(targetsOf(state).map(({ octet }) => octet))
  for (let octet = network.firstContainerOctet; octet < 40; octet++) if (!taken.has(octet)) return octet
  throw new Error('docker: every address for containers is in use')
}

export function dockerPause(state: LabState, name: string, isPaused: boolean): string {
  const target = findTarget(state, name)
  const how = stateOf(target)
  if (how === 'exited') throw dockerError(`Container ${name} is not running`)
  if ((how === 'paused') === isPaused)
    throw dockerError(`Container ${name} is ${isPaused ? 'already paused' : 'not paused'}`)
  freeze(target.machine.cgroup, isPaused)
  return name
}

/** Sends SIGTERM to the container's process, and SIGKILL after the timeout. */
export async function dockerStop(state: LabState, name: string, timeoutMs: number): Promise<string> {
  const { main, machine } = requireContainer(state, name)
  if (isFrozen(machine.cgroup)) freeze(machine.cgroup, false)
  const inside = isRunning(main) ? await childOf(main.pid) : undefined
  if (inside !== undefined) await endProcess(identify(inside), timeoutMs)
  await endProcess(main)
  return name
}

export function dockerStart(state: LabState, name: string): string {
  const container = requireContainer(state, name)
  if (isRunning(container.main)) return name
  const again = startMain(state, container)
  saveLab({ ...state, containers: state.containers.map((each) => (each === container ? again : each)) })
  return name
}

export async function dockerRemove(state: LabState, name: string, isForced: boolean): Promise<string> {
  const { id, main, machine } = requireContainer(state, name)
  if (!isForced && isRunning(main))
    throw dockerError(
      `cannot remove container "${name}": container is running: stop the container before removing or force remove`,
    )
  if (isFrozen(machine.cgroup)) freeze(machine.cgroup, false)
  await removeCgroup(machine.cgroup)
  rmSync(logOf(state, { id, name }), { force: true })
  saveLab({ ...state, containers: state.containers.filter((each) => each.id !== id) })
  return name
}
