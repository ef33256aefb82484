import { randomBytes } from 'node:crypto'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { prepareImageStore } from './containerd/image-store.ts'
import { containerdFolder, fillContainerdFolder, startContainerd } from './containerd/start.ts'
import { startServing } from './daemons/api-server.ts'
import { startControllers, startKubelet } from './daemons/controllers-and-kubelets.ts'
import { awaitRegistration } from './daemons/registration.ts'
import { type LabState, labVerb, loadLab, type RuntimeName, saveLab, unfinishedLab } from './lab-state.ts'
import { keptFolders, labPaths, type NodePlan, walkthroughNodes } from './layout.ts'
import { connectToBridge, type Machine, setUpBridge, startMachine } from './machines/host.ts'
import {
  endProcess,
  findCgroupRoot,
  freeze,
  identify,
  isFrozen,
  isRunning,
  makeCgroup,
  type ProcessId,
  removeCgroup,
  until,
} from './machines/machine.ts'
import { missingForPlugin, type OtherPlugin, setUpOtherNetwork } from './machines/other-network.ts'
import { writeLabFiles } from './programs/lab-files.ts'
import { type ControllersChoice, findJoinedCluster, leaveJoinedCluster } from './relay/joined-cluster.ts'
import { missingForContainerd, missingForLab } from './requirements.ts'

export interface LabOptions {
  readonly name: string
  readonly nodes?: readonly NodePlan[]
  /** The CNI plugin that the lab installs, or the one of each node. None by default. */
  readonly cni?: OtherPlugin | ((node: string) => OtherPlugin) | undefined
  readonly runtime?: RuntimeName
  /** Called before each step, with its name. */
  readonly onProgress?: (step: string) => void
  /** Called with facts about the joined cluster that the user should know. */
  readonly onFinding?: (finding: string) => void
  readonly signal?: AbortSignal
  /** The lab joins the cluster of this kubeconfig, instead of starting an API server. */
  readonly kubeconfig?: string | undefined
  /** The context of the kubeconfig. Its current context by default. */
  readonly context?: string | undefined
  /** Whether a lab that joins a cluster starts controllers. By default, it does if the cluster runs none. */
  readonly controllers?: ControllersChoice | undefined
}

/** A lab that starts. Each step is saved when it is done, so that a lab that failed to start can be removed. */
interface Starting {
  readonly options: LabOptions
  readonly plans: readonly NodePlan[]
  state: LabState
  keep(change: Partial<LabState>): void
  keepDaemons(more: Readonly<Record<string, ProcessId>>): void
  announce(step: string): void
}

/** Starts a lab: namespaces, network, API server, controllers, kubelets. A failure or an abort removes all of it. */
export async function startLab(options: LabOptions): Promise<LabState> {
  requirePossible(options)
  const { name, nodes: plans = walkthroughNodes, kubeconfig, context, controllers = 'auto' } = options
  const found = kubeconfig && (await findJoinedCluster({ kubeconfig, context, controllers, nodes: plans }))
  const lab = begin(options, plans, found ? { joined: found.joined } : {})
  try {
    lab.keep({})
    makeCgroup(lab.state.cgroup)
    writeLabFiles(lab.state)
    if (found) {
      writeFileSync(labPaths(name).joined, JSON.stringify(found.access), { mode: 0o600 })
      for (const each of found.found) options.onFinding?.(each)
    }
    await startNodes(lab)
    await startDaemons(lab)
    lab.announce('registration of the nodes')
    await awaitRegistration(lab.state)
    lab.keep({ isComplete: true })
    return lab.state
  } catch (error) {
    const left = await stopLab(name).catch((problem: Error) => problem)
    throw left === undefined ? error : new AggregateError([error, left], `${error}; ${left.message}`)
  }
}

/** Throws with everything that is missing, or if there is such a lab already. */
function requirePossible(options: LabOptions): void {
  const { name, nodes = walkthroughNodes, runtime } = options
  const plugins = new Set(nodes.map((node) => pluginOf(options, node)))
  const missing = [
    ...missingForLab(),
    ...[...plugins].flatMap((plugin) => (plugin === undefined ? [] : missingForPlugin(plugin))),
    ...(runtime === 'containerd' ? missingForContainerd() : []),
  ]
  if (missing.length > 0) throw new Error(missing.join('; '))
  const present = loadLab(name)
  if (present?.isComplete === false) throw new Error(unfinishedLab(present))
  if (present !== undefined)
    throw new Error(`a lab named ${name} already exists: remove it with "${labVerb('down', name)}"`)
}

function pluginOf({ cni }: LabOptions, { name }: NodePlan): OtherPlugin | undefined {
  return typeof cni === 'function' ? cni(name) : cni
}

function begin(options: LabOptions, plans: readonly NodePlan[], joined: Pick<LabState, 'joined'>): Starting {
  const { name, runtime = 'processes', signal, onProgress } = options
  const state: LabState = {
    name,
    cgroup: join(findCgroupRoot(), `sallyport-lab-${name}`),
    runtime,
    startedAt: new Date().toISOString(),
    startedBy: identify(process.pid),
    isComplete: false,
    nodes: [],
    containers: [],
    daemons: {},
    tokens: makeTokens(plans),
    ...joined,
  }
  const lab: Starting = {
    options,
    plans,
    state,
    keep(change) {
      lab.state = { ...lab.state, ...change }
      saveLab(lab.state)
      signal?.throwIfAborted()
    },
    keepDaemons: (more) => lab.keep({ daemons: { ...lab.state.daemons, ...more } }),
    announce: (step) => onProgress?.(step),
  }
  return lab
}

function makeTokens(nodes: readonly NodePlan[]): Record<string, string> {
  const names = ['admin', 'controllers', 'kubelet', ...nodes.map(({ name }) => name)]
  return Object.fromEntries(names.map((name) => [name, randomBytes(24).toString('hex')]))
}

/** The machines of the nodes, on a bridge in a machine of its own. */
async function startNodes(lab: Starting): Promise<void> {
  const { name, runtime, cgroup } = lab.state
  if (runtime === 'containerd') lab.announce('container images')
  const images = runtime === 'containerd' ? prepareImageStore() : undefined
  lab.announce('network')
  const host = await startMachine('server', join(labPaths(name).directory, 'host'), join(cgroup, 'host'), {
    hasNodeMounts: false,
  })
  lab.keep({ host })
  setUpBridge(host)
  for (const plan of lab.plans) {
    lab.announce(`node ${plan.name}`)
    await startNode(lab, plan, host, images)
  }
}

async function startNode(
  lab: Starting,
  plan: NodePlan,
  host: Machine,
  images: ReturnType<typeof prepareImageStore> | undefined,
): Promise<void> {
  const { name, cgroup, runtime } = lab.state
  const plugin = pluginOf(lab.options, plan)
  const directory = join(labPaths(name).directory, 'nodes', plan.name)
  const hasCgroups = images !== undefined
  if (images !== undefined) fillContainerdFolder(directory, images)
  const machine = await startMachine(plan.name, directory, join(cgroup, plan.name), {
    hasNodeMounts: true,
    hasCgroups,
    keptFolders: [...keptFolders(name), ...(hasCgroups ? [containerdFolder(directory)] : [])],
  })
  lab.keep({ nodes: [...lab.state.nodes, { ...plan, machine }] })
  connectToBridge(host, machine, plan.lastOctet)
  if (plugin !== undefined) setUpOtherNetwork(machine, plan, lab.plans, plugin, runtime)
}

async function startDaemons(lab: Starting): Promise<void> {
  const { name, joined, runtime, nodes } = lab.state
  lab.announce(joined === undefined ? 'API server' : `relay to ${joined.server}`)
  lab.keepDaemons(await startServing(lab.state))
  lab.announce('controllers and kubelets')
  if (joined?.needsControllers !== false) lab.keepDaemons({ controllers: startControllers(lab.state) })
  if (runtime === 'containerd')
    for (const { name: node, machine } of nodes)
      lab.keepDaemons({ [`containerd-${node}`]: await startContainerd(name, node, machine) })
  for (const { name: node } of nodes) lab.keepDaemons({ [`kubelet-${node}`]: startKubelet(lab.state, node) })
}

/** Removes a lab, even if it started only partly: its processes, namespaces, cgroups and files. */
export async function stopLab(name: string): Promise<void> {
  const state = loadLab(name)
  const paths = labPaths(name)
  if (state !== undefined) {
    for (const { machine } of [...state.nodes, ...state.containers])
      if (isFrozen(machine.cgroup)) freeze(machine.cgroup, false)
    await removeCgroup(state.cgroup)
    /* The first process of a namespace ends after all others in it. Then the kernel removes its mounts and devices. */
    const machines = [...state.nodes, ...state.containers].map(({ machine }) => machine)
    await until('the nodes have ended', () => !machines.some(({ init }) => isRunning(init)), 10_000)
    const rest = [...Object.values(state.daemons), ...(state.host === undefined ? [] : [state.host.keeper])]
    for (const daemon of rest) await endProcess(daemon, 500)
  }
  try {
    if (state !== undefined) await leaveJoinedCluster(state)
  } finally {
    rmSync(paths.directory, { recursive: true, force: true })
  }
}
