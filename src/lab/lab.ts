import { randomBytes } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { clientToolsFolder } from './client-tools.ts'
import { prepareImageStore } from './containerd/image-store.ts'
import { containerdFolder, fillContainerdFolder, startContainerd } from './containerd/start.ts'
import type { Credentials } from './credentials.ts'
import { daemonEnvironment, nodeBinary } from './environment.ts'
import { addressesOf, connectToBridge, setUpBridge, startMachine } from './host.ts'
import {
  apiServerUrl,
  controlPlaneOf,
  type LabState,
  labVerb,
  loadLab,
  type RuntimeName,
  saveLab,
  unfinishedLab,
} from './lab-state.ts'
import {
  apiServerPort,
  controlPlane,
  keptFolders,
  labPaths,
  type NodePlan,
  repository,
  walkthroughNodes,
} from './layout.ts'
import {
  endProcess,
  enterCommand,
  findCgroupRoot,
  freeze,
  identify,
  isFrozen,
  isRunning,
  makeCgroup,
  type ProcessId,
  removeCgroup,
  startDaemon,
  until,
} from './machine.ts'
import { missingForPlugin, type OtherPlugin, setUpOtherNetwork } from './other-network.ts'
import { policyFiles } from './policy-files.ts'
import { type ControllersChoice, findJoinedCluster, leaveJoinedCluster } from './relay/joined-cluster.ts'
import { startRelay } from './relay/start.ts'
import { hasYamlYq, missingForContainerd, missingForLab } from './requirements.ts'
import { exec } from './shell.ts'

export interface LabOptions {
  readonly name: string
  readonly nodes?: readonly NodePlan[]
  /** The CNI plugin that the lab installs. None by default. */
  readonly cni?: OtherPlugin | undefined
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

/** Starts a lab: namespaces, network, API server, controllers, kubelets. A failure or an abort removes all of it. */
export async function startLab(options: LabOptions): Promise<LabState> {
  const { name, nodes = walkthroughNodes, onProgress = () => {}, onFinding = () => {}, signal } = options
  const { cni, runtime = 'processes' } = options
  const missing = [
    ...missingForLab(),
    ...(cni === undefined ? [] : missingForPlugin(cni)),
    ...(runtime === 'containerd' ? missingForContainerd() : []),
  ]
  if (missing.length > 0) throw new Error(missing.join('; '))
  const present = loadLab(name)
  if (present?.isComplete === false) throw new Error(unfinishedLab(present))
  if (present !== undefined)
    throw new Error(`a lab named ${name} already exists: remove it with "${labVerb('down', name)}"`)
  const cgroup = join(findCgroupRoot(), `sallyport-lab-${name}`)
  const { kubeconfig, context, controllers = 'auto' } = options
  const found =
    kubeconfig === undefined
      ? undefined
      : await findJoinedCluster({ kubeconfig, context, controllers, nodes })
  let state: LabState = {
    name,
    cgroup,
    runtime,
    startedAt: new Date().toISOString(),
    startedBy: identify(process.pid),
    isComplete: false,
    nodes: [],
    containers: [],
    daemons: {},
    tokens: makeTokens(nodes),
    ...(found === undefined ? {} : { joined: found.joined }),
  }
  const keep = (change: Partial<LabState>): void => {
    state = { ...state, ...change }
    saveLab(state)
    signal?.throwIfAborted()
  }
  try {
    keep({})
    makeCgroup(cgroup)
    prepareFiles(state)
    if (found !== undefined) {
      writeFileSync(labPaths(name).joined, JSON.stringify(found.access), { mode: 0o600 })
      for (const each of found.found) onFinding(each)
    }
    if (runtime === 'containerd') onProgress('container images')
    const images = runtime === 'containerd' ? prepareImageStore() : undefined
    onProgress('network')
    const host = await startMachine('server', join(labPaths(name).directory, 'host'), join(cgroup, 'host'), {
      hasNodeMounts: false,
    })
    keep({ host })
    setUpBridge(host)
    for (const plan of nodes) {
      onProgress(`node ${plan.name}`)
      const directory = join(labPaths(name).directory, 'nodes', plan.name)
      const kept = [...keptFolders(name), ...(images === undefined ? [] : [containerdFolder(directory)])]
      if (images !== undefined) fillContainerdFolder(directory, images)
      const machine = await startMachine(plan.name, directory, join(cgroup, plan.name), {
        hasNodeMounts: true,
        hasCgroups: images !== undefined,
        keptFolders: kept,
      })
      keep({ nodes: [...state.nodes, { ...plan, machine }] })
      connectToBridge(host, machine, plan.lastOctet)
      if (cni !== undefined) setUpOtherNetwork(machine, plan, nodes, cni, runtime)
    }
    onProgress(state.joined === undefined ? 'API server' : `relay to ${state.joined.server}`)
    keep({ daemons: { ...state.daemons, ...(await startServing(state)) } })
    onProgress('controllers and kubelets')
    if (state.joined?.needsControllers !== false)
      keep({ daemons: { ...state.daemons, controllers: startControllers(state) } })
    if (runtime === 'containerd')
      for (const { name: node, machine } of state.nodes)
        keep({
          daemons: { ...state.daemons, [`containerd-${node}`]: await startContainerd(name, node, machine) },
        })
    for (const node of state.nodes)
      keep({ daemons: { ...state.daemons, [`kubelet-${node.name}`]: startKubelet(state, node.name) } })
    onProgress('registration of the nodes')
    await until('every node is registered', async () => (await countNodes(state)) >= nodes.length, 30_000)
    await labelControlPlane(state)
    keep({ isComplete: true })
    return state
  } catch (error) {
    const left = await stopLab(name).catch((problem: Error) => problem)
    throw left === undefined ? error : new AggregateError([error, left], `${error}; ${left.message}`)
  }
}

/** Sends the request from inside the lab, because this process cannot reach the lab's network, and must not. */
async function askApiServer(state: LabState, path: string, more: readonly string[] = []): Promise<string> {
  const { apiServer } = labPaths(state.name)
  const words = ['curl', '-s', '--cacert', join(apiServer, 'ca.crt'), '--header', '@-', ...more]
  const { output } = await exec(state, [...words, `${apiServerUrl(state)}${path}`], {
    input: `Authorization: Bearer ${state.tokens.admin}\n`,
  })
  return output
}

/** A kubelet must not label its own node as control plane. The installer of a cluster does that. */
async function labelControlPlane(state: LabState): Promise<void> {
  const patch = JSON.stringify({ metadata: { labels: { [controlPlane]: '' } } })
  const merge = ['--header', 'Content-Type: application/merge-patch+json', '--data', patch]
  for (const { name, isControlPlane } of state.nodes)
    if (isControlPlane) await askApiServer(state, `/api/v1/nodes/${name}`, ['--request', 'PATCH', ...merge])
}

async function countNodes(state: LabState): Promise<number> {
  const output = await askApiServer(state, '/api/v1/nodes')
  try {
    const { items } = JSON.parse(output) as { items: readonly { metadata: { name: string } }[] }
    return items.filter(({ metadata }) => state.nodes.some(({ name }) => name === metadata.name)).length
  } catch {
    return 0
  }
}

function makeTokens(nodes: readonly NodePlan[]): Record<string, string> {
  const names = ['admin', 'controllers', 'kubelet', ...nodes.map(({ name }) => name)]
  return Object.fromEntries(names.map((name) => [name, randomBytes(24).toString('hex')]))
}

/** Writes the files of the lab's shell: commands on the PATH, a kubeconfig, and the walkthrough's two policies. */
function prepareFiles(state: LabState): void {
  const { name, tokens } = state
  const paths = labPaths(name)
  for (const directory of [
    paths.logs,
    paths.apiServer,
    paths.credentials,
    paths.bin,
    paths.nodeBin,
    paths.home,
  ])
    mkdirSync(directory, { recursive: true })
  const users = [
    `${tokens.admin},admin,1,"system:masters"`,
    `${tokens.controllers},system:kube-controller-manager,2`,
    ...Object.keys(tokens)
      .filter((key) => !['admin', 'controllers', 'kubelet'].includes(key))
      .map((node) => `${tokens[node]},system:node:${node},${node},"system:nodes"`),
  ]
  writeFileSync(paths.tokens, `${users.join('\n')}\n`, { mode: 0o600 })
  writeFileSync(paths.kubeletToken, tokens.kubelet ?? '', { mode: 0o600 })
  const script = (directory: string, command: string, body: string): void => {
    writeFileSync(join(directory, command), `#!/bin/sh\n${body}\n`)
    chmodSync(join(directory, command), 0o755)
  }
  const node = `exec ${nodeBinary} --disable-warning=ExperimentalWarning`
  script(paths.bin, 'sallyport', `${node} ${repository}/src/cli/main.ts "$@"`)
  script(paths.bin, 'cilium', `${node} ${repository}/src/cli/main.ts "$@"`)
  script(paths.bin, 'docker', `${node} ${repository}/src/lab/docker/main.ts "$@"`)
  for (const tool of ['kubectl', 'helm']) {
    const unpacked = join(clientToolsFolder('newest'), tool)
    if (existsSync(unpacked)) script(paths.bin, tool, `exec ${unpacked} "$@"`)
  }
  if (!hasYamlYq()) script(paths.bin, 'yq', `${node} ${repository}/src/lab/yq.ts "$@"`)
  script(paths.nodeBin, 'ip', standInForDummy)
  for (const [file, content] of Object.entries(policyFiles)) writeFileSync(join(paths.home, file), content)
  writeFileSync(join(paths.home, '.bashrc'), `PS1='\\u@\\h:~# '\ncd ~\n`)
}

/** On kernels without dummy devices, `ip` creates an ifb device instead, which also has addresses and carries no traffic. */
const standInForDummy = `real=/usr/sbin/ip
[ -x "$real" ] || real=/sbin/ip
case " $* " in
*" type dummy "*)
  "$real" "$@" 2>/dev/null && exit 0
  set -- $(printf '%s\\n' "$@" | sed 's/^dummy$/ifb/')
  ;;
esac
exec "$real" "$@"`

async function startApiServer(state: LabState): Promise<ProcessId> {
  const paths = labPaths(state.name)
  const { machine, address } = controlPlaneOf(state)
  const ready = join(paths.directory, 'apiserver.ready')
  rmSync(ready, { force: true })
  const words = [
    nodeBinary,
    '--disable-warning=ExperimentalWarning',
    `${repository}/src/lab/apiserver/main.ts`,
    '--listen',
    `${address}:${apiServerPort}`,
    '--data-dir',
    paths.apiServer,
    '--token-auth-file',
    paths.tokens,
    '--kubelet-token-file',
    paths.kubeletToken,
    '--ready-file',
    ready,
  ]
  const daemon = startDaemon(
    enterCommand(machine.init.pid, ['net'], words),
    join(paths.logs, 'apiserver.log'),
    { cgroup: machine.cgroup, env: daemonEnvironment },
  )
  await until(
    `the API server answers (see ${join(paths.logs, 'apiserver.log')})`,
    () => {
      if (!isRunning(daemon))
        throw new Error(
          `the API server has ended: ${readFileSync(join(paths.logs, 'apiserver.log'), 'utf8').trim().slice(-500)}`,
        )
      return existsSync(ready)
    },
    20_000,
  )
  return daemon
}

/** Starts the lab's own API server, or the relay to the API server that the lab joined. */
async function startServing(state: LabState): Promise<Readonly<Record<string, ProcessId>>> {
  const daemons =
    state.joined === undefined ? { apiserver: await startApiServer(state) } : await startRelay(state)
  writeKubeconfig(state)
  return daemons
}

function writeKubeconfig(state: LabState): void {
  const paths = labPaths(state.name)
  const ca = readFileSync(join(paths.apiServer, 'ca.crt')).toString('base64')
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      { name: 'kind-kind', cluster: { server: apiServerUrl(state), 'certificate-authority-data': ca } },
    ],
    users: [{ name: 'kind-kind', user: { token: state.tokens.admin } }],
    contexts: [{ name: 'kind-kind', context: { cluster: 'kind-kind', user: 'kind-kind' } }],
    'current-context': 'kind-kind',
  }
  writeFileSync(paths.kubeconfig, stringify(config), { mode: 0o600 })
}

/** Kills the API server or the relay and starts it again. It continues with the state on disk. */
export async function restartApiServer(name: string): Promise<void> {
  await stopApiServer(name)
  const state = loadLab(name)
  if (state === undefined) throw new Error(`there is no lab named ${name}`)
  saveLab({ ...state, daemons: { ...state.daemons, ...(await startServing(state)) } })
}

export async function stopApiServer(name: string): Promise<void> {
  const { daemons = {} } = loadLab(name) ?? {}
  for (const daemon of [daemons.apiserver, daemons.relay, daemons['relay-inside']])
    if (daemon !== undefined) await endProcess(daemon, 0)
}

/** The containers continue to run, and the new kubelet takes them over. */
export async function restartKubelet(name: string, node: string): Promise<void> {
  const state = loadLab(name)
  const daemon = state?.daemons[`kubelet-${node}`]
  if (state === undefined || daemon === undefined) throw new Error(`the lab ${name} has no node ${node}`)
  await endProcess(daemon, 0)
  saveLab({ ...state, daemons: { ...state.daemons, [`kubelet-${node}`]: startKubelet(state, node) } })
}

/** Returns a file for the standard input of a process. Other users could read arguments, and nodes do not see the lab's files. */
function writeCredentials(state: LabState, name: string): string {
  const { apiServer, credentials } = labPaths(state.name)
  const file = join(credentials, `${name}.json`)
  const given: Credentials = {
    ca: readFileSync(join(apiServer, 'ca.crt'), 'utf8'),
    token: state.tokens[name] ?? '',
    streamToken: state.tokens.kubelet ?? '',
  }
  writeFileSync(file, JSON.stringify(given), { mode: 0o600 })
  return file
}

function startControllers(state: LabState): ProcessId {
  const paths = labPaths(state.name)
  const { machine } = controlPlaneOf(state)
  const words = [
    nodeBinary,
    '--disable-warning=ExperimentalWarning',
    `${repository}/src/lab/controllers/main.ts`,
    '--server',
    apiServerUrl(state),
  ]
  return startDaemon(enterCommand(machine.init.pid, ['net'], words), join(paths.logs, 'controllers.log'), {
    cgroup: machine.cgroup,
    env: daemonEnvironment,
    stdin: writeCredentials(state, 'controllers'),
  })
}

function startKubelet(state: LabState, name: string): ProcessId {
  const paths = labPaths(state.name)
  const node = state.nodes.find((each) => each.name === name)
  if (node === undefined) throw new Error(`the lab has no node ${name}`)
  const words = [
    nodeBinary,
    '--disable-warning=ExperimentalWarning',
    `${repository}/src/lab/kubelet/main.ts`,
    '--node-name',
    name,
    ...addressesOf(node).flatMap((address) => ['--address', address]),
    ...node.podCIDRs.flatMap((prefix) => ['--pod-cidr', prefix]),
    '--lab',
    state.name,
    ...(node.isControlPlane ? ['--control-plane'] : []),
    '--runtime',
    state.runtime,
    '--server',
    apiServerUrl(state),
  ]
  const environment = { ...daemonEnvironment, LAB_NODE_BIN: paths.nodeBin, LAB_BIN: paths.bin }
  return startDaemon(
    enterCommand(node.machine.init.pid, ['net', 'mount', 'uts', 'pid'], words),
    join(paths.logs, `kubelet-${name}.log`),
    { cgroup: node.machine.cgroup, env: environment, stdin: writeCredentials(state, name) },
  )
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
