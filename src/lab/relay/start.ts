import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { daemonEnvironment, nodeBinary } from '../environment.ts'
import { controlPlaneOf, type LabState } from '../lab-state.ts'
import { apiServerPort, ipv4Of, labPaths, repository } from '../layout.ts'
import { enterCommand, isRunning, type ProcessId, startDaemon, until } from '../machine.ts'

type RelayProcesses = { readonly relay: ProcessId; readonly 'relay-inside': ProcessId }

/** Starts both halves of the relay: one in this machine's network, and one in the lab. */
export async function startRelay(state: LabState): Promise<RelayProcesses> {
  const paths = labPaths(state.name)
  const ready = join(paths.directory, 'relay.ready')
  for (const file of [ready, paths.relaySocket]) rmSync(file, { force: true })
  const daemons = { relay: startOutside(state), 'relay-inside': startInside(state, ready) }
  await until(
    'the relay is ready',
    () => {
      for (const [name, daemon] of Object.entries(daemons))
        if (!isRunning(daemon)) throw new Error(`the process ${name} has ended: ${endOfLog(state, name)}`)
      return existsSync(ready) && existsSync(paths.relaySocket)
    },
    20_000,
  )
  return daemons
}

function startOutside(state: LabState): ProcessId {
  const paths = labPaths(state.name)
  const words = [
    ...['--joined', paths.joined, '--token-auth-file', paths.tokens, '--socket', paths.relaySocket],
    ...(state.joined?.impersonatesNodes ? ['--impersonate-nodes'] : []),
  ]
  return startHalf(state, 'relay', commandOf('outside', words))
}

function startInside(state: LabState, ready: string): ProcessId {
  const paths = labPaths(state.name)
  const { machine, address } = controlPlaneOf(state)
  const words = [
    ...['--listen', address, '--port', String(apiServerPort), '--data-dir', paths.apiServer],
    ...['--socket', paths.relaySocket, '--token-auth-file', paths.tokens],
    ...['--kubelet-token-file', paths.kubeletToken, '--ready-file', ready],
    ...state.nodes.flatMap(({ name, lastOctet }) => ['--node', `${name}=${ipv4Of(lastOctet)}`]),
  ]
  return startHalf(state, 'relay-inside', enterCommand(machine.init.pid, ['net'], commandOf('inside', words)))
}

function commandOf(half: 'inside' | 'outside', words: readonly string[]): string[] {
  const file = `${repository}/src/lab/relay/${half}.ts`
  return [nodeBinary, '--disable-warning=ExperimentalWarning', file, ...words]
}

function startHalf(state: LabState, name: string, words: readonly string[]): ProcessId {
  return startDaemon(words, logOf(state, name), {
    cgroup: join(state.cgroup, 'host'),
    env: daemonEnvironment,
  })
}

const logOf = (state: LabState, name: string): string => join(labPaths(state.name).logs, `${name}.log`)

function endOfLog(state: LabState, name: string): string {
  return readFileSync(logOf(state, name), 'utf8').trim().slice(-500)
}
