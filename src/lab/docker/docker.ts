import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { connectToBridge, startMachine } from '../host.ts'
import { findImage, unknownImage } from '../images.ts'
import { type LabContainer, type LabState, saveLab } from '../lab-state.ts'
import { ipv4Of, ipv6Of, keptFolders, labPaths, network, repository } from '../layout.ts'
import { enterCommand, freeze, inCgroup, isFrozen, isRunning, removeCgroup, startDaemon } from '../machine.ts'

/** What the commands need of a node or container. */
interface Target {
  readonly id: string
  readonly name: string
  readonly image: string
  readonly octet: number
  readonly machine: LabContainer['machine']
  readonly environment: readonly string[]
  readonly startedAt: string
  readonly isNode: boolean
}

function targetsOf(state: LabState): Target[] {
  const nodes = state.nodes.map(({ name, lastOctet, machine }) => ({
    id: Buffer.from(name).toString('hex').padEnd(64, '0').slice(0, 64),
    name,
    image: 'kindest/node',
    octet: lastOctet,
    machine,
    environment: [],
    startedAt: state.startedAt,
    isNode: true,
  }))
  return [...nodes, ...state.containers.map((container) => ({ ...container, isNode: false }))]
}

function findTarget(state: LabState, name: string): Target {
  const target = targetsOf(state).find(
    (each) => each.name === name || (name.length >= 4 && each.id.startsWith(name)),
  )
  if (target === undefined) throw new Error(`Error response from daemon: No such container: ${name}`)
  return target
}

/** Runs a command in a node or container, with this terminal, and answers with its exit code. */
export function dockerExec(
  state: LabState,
  name: string,
  words: readonly string[],
  { environment, isDetached }: { readonly environment: readonly string[]; readonly isDetached: boolean },
): number {
  const { machine, name: full } = findTarget(state, name)
  if (isFrozen(machine.cgroup))
    throw new Error(
      `Error response from daemon: container ${full} is paused, unpause the container before exec`,
    )
  const path = `${labPaths(state.name).nodeBin}:${repository}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`
  const given = Object.fromEntries(environment.map((pair) => pair.split(/=(.*)/s).slice(0, 2)))
  const entered = enterCommand(
    machine.init.pid,
    ['net', 'mount', 'uts', 'pid'],
    ['env', `PATH=${path}`, ...words],
  )
  const env = { TERM: process.env.TERM ?? 'dumb', HOME: '/root', PATH: path, ...given }
  if (isDetached) {
    startDaemon(entered, join(labPaths(state.name).logs, `${full}.log`), { cgroup: machine.cgroup, env })
    return 0
  }
  const [command = '', ...rest] = inCgroup(machine.cgroup, entered)
  const result = spawnSync(command, rest, { stdio: 'inherit', env })
  if (result.error) throw result.error
  return result.status ?? 137
}

export interface RunOptions {
  readonly name: string | undefined
  readonly image: string
  readonly environment: readonly string[]
  readonly command: readonly string[]
}

/** Starts a container on the lab's network, at the next free address. Answers with its id. */
export async function dockerRun(state: LabState, options: RunOptions): Promise<string> {
  const image = findImage(options.image)
  if (image === undefined) throw new Error(`docker: ${unknownImage(options.image)}`)
  if (state.host === undefined) throw new Error('the lab is not complete')
  const id = randomBytes(32).toString('hex')
  const name = options.name ?? `container-${id.slice(0, 6)}`
  if (targetsOf(state).some((target) => target.name === name))
    throw new Error(
      `docker: Error response from daemon: Conflict. The container name "/${name}" is already in use. Remove it first: docker rm -f ${name}`,
    )
  const octet = nextOctet(state)
  const cgroup = join(state.cgroup, `container-${id.slice(0, 12)}`)
  const machine = await startMachine(
    id.slice(0, 12),
    join(labPaths(state.name).directory, 'containers', id.slice(0, 12)),
    cgroup,
    { hasNodeMounts: false, keptFolders: keptFolders(state.name) },
  )
  const container: LabContainer = {
    id,
    name,
    image: options.image,
    octet,
    environment: options.environment,
    machine,
    startedAt: new Date().toISOString(),
  }
  saveLab({ ...state, containers: [...state.containers, container] })
  connectToBridge(state.host, machine, octet)
  const command = options.command.length > 0 ? options.command : image.command
  const env = {
    ...process.env,
    ...Object.fromEntries(options.environment.map((pair) => pair.split(/=(.*)/s).slice(0, 2))),
  }
  startDaemon(
    enterCommand(machine.init.pid, ['net', 'mount', 'uts', 'pid'], command),
    join(labPaths(state.name).logs, `${name}.log`),
    { cgroup, env },
  )
  return id
}

function nextOctet(state: LabState): number {
  const taken = new Set(targetsOf(state).map(({ octet }) => octet))
  for (let octet = network.firstContainerOctet; octet < 40; octet++) if (!taken.has(octet)) return octet
  throw new Error('docker: every address for containers is in use')
}

export function dockerPause(state: LabState, name: string, isPaused: boolean): string {
  const { machine } = findTarget(state, name)
  if (isFrozen(machine.cgroup) === isPaused)
    throw new Error(
      `Error response from daemon: Container ${name} is ${isPaused ? 'already paused' : 'not paused'}`,
    )
  freeze(machine.cgroup, isPaused)
  return name
}

export async function dockerRemove(state: LabState, name: string, isForced: boolean): Promise<string> {
  const target = findTarget(state, name)
  if (target.isNode)
    throw new Error(`${name} is a node of the lab: "sallyport lab down" takes the whole lab away`)
  if (!isForced && isRunning(target.machine.init))
    throw new Error(
      `Error response from daemon: cannot remove container "${name}": container is running: stop the container before removing or force remove`,
    )
  if (isFrozen(target.machine.cgroup)) freeze(target.machine.cgroup, false)
  await removeCgroup(target.machine.cgroup)
  saveLab({ ...state, containers: state.containers.filter(({ id }) => id !== target.id) })
  return name
}

export function inspectContainer(state: LabState, name: string): object {
  const { id, name: full, image, octet, machine, environment, startedAt } = findTarget(state, name)
  const isPaused = isFrozen(machine.cgroup)
  return {
    Id: id,
    Name: `/${full}`,
    Created: startedAt,
    Config: { Image: image, Env: environment, Hostname: full },
    State: {
      Status: isPaused ? 'paused' : isRunning(machine.init) ? 'running' : 'exited',
      Running: isRunning(machine.init),
      Paused: isPaused,
      Pid: machine.init.pid,
    },
    NetworkSettings: {
      Networks: {
        [network.name]: {
          IPAddress: ipv4Of(octet),
          IPPrefixLen: 16,
          Gateway: ipv4Of(1),
          GlobalIPv6Address: ipv6Of(octet),
          GlobalIPv6PrefixLen: 64,
        },
      },
    },
  }
}

export function inspectNetwork(state: LabState, name: string): object {
  if (name !== network.name) throw new Error(`Error response from daemon: network ${name} not found`)
  return {
    Name: network.name,
    Driver: 'bridge',
    IPAM: {
      Driver: 'default',
      Config: [
        { Subnet: network.ipv4, Gateway: ipv4Of(1) },
        { Subnet: network.ipv6, Gateway: ipv6Of(1) },
      ],
    },
    Containers: Object.fromEntries(
      targetsOf(state).map(({ id, name: each, octet }) => [
        id,
        { Name: each, IPv4Address: `${ipv4Of(octet)}/16`, IPv6Address: `${ipv6Of(octet)}/64` },
      ]),
    ),
  }
}

export function listContainers(
  state: LabState,
): readonly { id: string; name: string; image: string; status: string }[] {
  return targetsOf(state).map(({ id, name, image, machine }) => ({
    id: id.slice(0, 12),
    name,
    image,
    status: isFrozen(machine.cgroup) ? 'Up (Paused)' : isRunning(machine.init) ? 'Up' : 'Exited',
  }))
}

export function containerLog(state: LabState, name: string): string {
  return join(labPaths(state.name).logs, `${findTarget(state, name).name}.log`)
}
