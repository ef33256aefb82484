import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { daemonEnvironment } from '../environment.ts'
import { apiServerUrl, controlPlaneOf, type LabState, loadLab, saveLab } from '../lab-state.ts'
import { labPaths } from '../layout.ts'
import { addressesOf } from '../machines/host.ts'
import { endProcess, enterCommand, type ProcessId, startDaemon } from '../machines/machine.ts'
import type { Credentials } from './credentials.ts'
import { logOf, programWords } from './program.ts'

export function startControllers(state: LabState): ProcessId {
  const { machine } = controlPlaneOf(state)
  const words = programWords('controllers/main.ts', ['--server', apiServerUrl(state)])
  return startDaemon(enterCommand(machine.init.pid, ['net'], words), logOf(state, 'controllers'), {
    cgroup: machine.cgroup,
    env: daemonEnvironment,
    stdin: writeCredentials(state, 'controllers'),
  })
}

export function startKubelet(state: LabState, name: string): ProcessId {
  const paths = labPaths(state.name)
  const node = state.nodes.find((each) => each.name === name)
  if (node === undefined) throw new Error(`the lab has no node ${name}`)
  const words = programWords('kubelet/main.ts', [
    ...['--node-name', name],
    ...addressesOf(node).flatMap((address) => ['--address', address]),
    ...node.podCIDRs.flatMap((prefix) => ['--pod-cidr', prefix]),
    ...['--lab', state.name],
    ...(node.isControlPlane ? ['--control-plane'] : []),
    ...['--runtime', state.runtime, '--server', apiServerUrl(state)],
  ])
  const environment = { ...daemonEnvironment, LAB_NODE_BIN: paths.nodeBin, LAB_BIN: paths.bin }
  return startDaemon(
    enterCommand(node.machine.init.pid, ['net', 'mount', 'uts', 'pid'], words),
    logOf(state, `kubelet-${name}`),
    { cgroup: node.machine.cgroup, env: environment, stdin: writeCredentials(state, name) },
  )
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
