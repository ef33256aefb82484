import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { endOfLog, logOf, programWords } from '../daemons/program.ts'
import { daemonEnvironment } from '../environment.ts'
import { controlPlaneOf, type LabState } from '../lab-state.ts'
import { apiServerPort, ipv4Of, labPaths } from '../layout.ts'
import { enterCommand, isRunning, type ProcessId, startDaemon, until } from '../machines/machine.ts'

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
  return startHalf(state, 'relay', programWords('relay/outside.ts', words))
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
  return startHalf(
    state,
    'relay-inside',
    enterCommand(machine.init.pid, ['net'], programWords('relay/inside.ts', words)),
  )
}

function startHalf(state: LabState, name: string, words: readonly string[]): ProcessId {
  return startDaemon(words, logOf(state, name), {
    cgroup: join(state.cgroup, 'host'),
    env: daemonEnvironment,
  })
}
