import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { daemonEnvironment } from '../environment.ts'
import { apiServerUrl, controlPlaneOf, type LabState, loadLab, saveLab } from '../lab-state.ts'
import { apiServerPort, labPaths } from '../layout.ts'
import {
  endProcess,
  enterCommand,
  isRunning,
  type ProcessId,
  startDaemon,
  until,
} from '../machines/machine.ts'
import { startRelay } from '../relay/start.ts'
import { endOfLog, logOf, programWords } from './program.ts'

/** Starts the lab's own API server, or the relay to the API server that the lab joined. */
export async function startServing(state: LabState): Promise<Readonly<Record<string, ProcessId>>> {
  const daemons =
    state.joined === undefined ? { apiserver: await startApiServer(state) } : await startRelay(state)
  writeKubeconfig(state)
  return daemons
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

async function startApiServer(state: LabState): Promise<ProcessId> {
  const paths = labPaths(state.name)
  const { machine, address } = controlPlaneOf(state)
  const ready = join(paths.directory, 'apiserver.ready')
  rmSync(ready, { force: true })
  const words = programWords('apiserver/main.ts', [
    ...['--listen', `${address}:${apiServerPort}`, '--data-dir', paths.apiServer],
    ...['--token-auth-file', paths.tokens, '--kubelet-token-file', paths.kubeletToken],
    ...['--ready-file', ready],
  ])
  const log = logOf(state, 'apiserver')
  const daemon = startDaemon(enterCommand(machine.init.pid, ['net'], words), log, {
    cgroup: machine.cgroup,
    env: daemonEnvironment,
  })
  await until(
    `the API server answers (see ${log})`,
    () => {
      if (!isRunning(daemon)) throw new Error(`the API server has ended: ${endOfLog(state, 'apiserver')}`)
      return existsSync(ready)
    },
    20_000,
  )
  return daemon
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
