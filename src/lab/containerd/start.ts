import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { labPaths } from '../layout.ts'
import type { Machine } from '../machines/host.ts'
import { enterCommand, isRunning, type ProcessId, startDaemon, until } from '../machines/machine.ts'
import { containerdConfiguration, containerdSocket } from './configuration.ts'
import { copyImageStore } from './image-store.ts'

/** Images and containers' files of one node, in the lab's own folder, which goes with the lab. */
export const containerdFolder = (nodeDirectory: string): string => join(nodeDirectory, 'containerd')

/** Before the node is started: its folder must be there to be seen inside. */
export function fillContainerdFolder(nodeDirectory: string, images: string): void {
  const folder = containerdFolder(nodeDirectory)
  mkdirSync(folder, { recursive: true })
  copyImageStore(images, join(folder, 'root'))
  writeFileSync(join(folder, 'config.toml'), containerdConfiguration(join(folder, 'root')))
}

/** A supervisor, like systemd. If containerd is killed, its containers continue, and it starts again. */
const supervise = `while :; do containerd --config "$0"; sleep 0.2; done`

/** Answers when it serves. */
export async function startContainerd(lab: string, node: string, machine: Machine): Promise<ProcessId> {
  const { directory, logs } = labPaths(lab)
  const folder = containerdFolder(join(directory, 'nodes', node))
  const log = join(logs, `containerd-${node}.log`)
  const words = ['sh', '-c', supervise, join(folder, 'config.toml')]
  const daemon = startDaemon(
    enterCommand(machine.init.pid, ['net', 'mount', 'uts', 'pid', 'cgroup'], words),
    log,
    { cgroup: machine.cgroup },
  )
  const socket = `/proc/${machine.init.pid}/root${containerdSocket}`
  await until(
    `containerd of ${node} answers (see ${log})`,
    () => isRunning(daemon) && existsSync(socket),
    20_000,
  )
  return daemon
}
