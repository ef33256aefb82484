import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, watch } from 'node:fs'
import { join } from 'node:path'
import type { Clock } from '../../runtime/clock.ts'
import type { Logger } from '../../runtime/log.ts'
import { replaceFile } from '../../runtime/replace-file.ts'
import { installBinary, pluginType, removeBinary } from './cni-binary.ts'
import { chainNetwork, chooseNetworkFile, ownFiles, type PluginEntry } from './network-list.ts'

/** The folders in which container runtimes look for plugins and networks by default. */
export const pluginFolders = { binaries: '/opt/cni/bin', configuration: '/etc/cni/net.d' }
const configurationDirectory = pluginFolders.configuration
/** The image sets this variable. */
const isInImage = process.env.SALLYPORT_IMAGE !== undefined

/**
 * Installs the plugin and its network configuration for the container runtime. The node becomes Ready as soon as the
 * configuration exists. So the configuration is written last, and the caller waits until the agent can answer.
 */
export function installPlugin(socketPath: string, log: Logger): void {
  installBinary(pluginFolders.binaries, { isInImage, agentSocket: socketPath })
  /* With this capability the runtime passes the pod's host ports to the plugin. The plugin refuses such a pod, because nothing would serve the ports. */
  const plugin = { ...entryFor(socketPath), capabilities: { portMappings: true } }
  const configuration = { cniVersion: '1.0.0', name: 'sallyport', plugins: [plugin] }
  replace(configurationDirectory, ownFiles.standalone, `${JSON.stringify(configuration, null, 2)}\n`, 0o644)
  removeConfiguration('chained')
  log.info({ file: join(configurationDirectory, ownFiles.standalone) }, 'installed the CNI plugin')
}

/** Removes the file of a mode that is not in use. It would make pods wait for an agent that never answers. */
function removeConfiguration(mode: keyof typeof ownFiles): void {
  rmSync(join(configurationDirectory, ownFiles[mode]), { force: true })
}

/**
 * Removes the configurations first, so that the runtime stops calling the plugin, and then the plugin. Returns how many
 * files it removed.
 */
export function removePlugin({ binaries, configuration } = pluginFolders): number {
  const paths = Object.values(ownFiles)
    .map((name) => join(configuration, name))
    .filter((path) => existsSync(path))
  for (const path of paths) rmSync(path)
  return paths.length + (removeBinary(binaries) ? 1 : 0)
}

function entryFor(agentSocket: string): PluginEntry {
  return { type: pluginType, agentSocket }
}

/** A program that writes the file may do so in several steps. The agent reads it when no step has followed for this time. */
const writersPauseMs = 50

/**
 * Keeps our plugin chained to the network that the node has. The other plugin's file stays unchanged, so that its owner does
 * not overwrite it. Our file is a copy of it with our plugin added, and is made again each time the other file changes.
 */
export class ChainedConfiguration {
  readonly #entry: PluginEntry
  readonly #clock: Clock
  readonly #log: Logger
  /** Why pods start without our plugin, or cannot start. Undefined if our plugin is chained. */
  problem: string | undefined

  constructor(socketPath: string, clock: Clock, log: Logger) {
    this.#entry = entryFor(socketPath)
    this.#clock = clock
    this.#log = log
  }

  /** Chains the plugin now, and after each change until the signal. If watching fails, the agent's resync finds changes. */
  keep(signal: AbortSignal): void {
    installBinary(pluginFolders.binaries, { isInImage, agentSocket: this.#entry.agentSocket })
    removeConfiguration('standalone')
    mkdirSync(configurationDirectory, { recursive: true })
    this.reconcile()
    this.#watch(signal)
  }

  #watch(signal: AbortSignal): void {
    let stopPause = (): void => {}
    const notWatched = (error: unknown): void =>
      this.#log.warn(
        { err: error },
        `watching ${configurationDirectory} failed; the next resync finds what changes there`,
      )
    try {
      watch(configurationDirectory, { persistent: false, signal }, () => {
        stopPause()
        stopPause = this.#clock.after(writersPauseMs, () => this.reconcile())
      }).on('error', notWatched)
    } catch (error) {
      notWatched(error)
    }
  }

  reconcile(): void {
    const before = this.problem
    try {
      this.problem = this.#chain()
    } catch (error) {
      this.problem = `Chaining the CNI plugin failed: ${error instanceof Error ? error.message : String(error)}`
    }
    if (this.problem !== undefined && this.problem !== before) this.#log.warn(this.problem)
  }

  #chain(): string | undefined {
    const name = chooseNetworkFile(readdirSync(configurationDirectory))
    if (name === undefined) {
      removeConfiguration('chained')
      return `No other CNI plugin has a network configuration in ${configurationDirectory}. Pods cannot start until one has. Install the other CNI plugin.`
    }
    const content = readFileSync(join(configurationDirectory, name), 'utf8')
    const chained = chainNetwork({ name, content }, this.#entry)
    if (replace(configurationDirectory, ownFiles.chained, chained, 0o644))
      this.#log.info({ network: name, file: ownFiles.chained }, 'chained the CNI plugin')
    return name < ownFiles.chained
      ? `In ${configurationDirectory}, ${name} comes before ${ownFiles.chained} in alphabetical order, so the container runtime uses ${name}, and pods start without egress policies. Rename ${name} so that it comes after ${ownFiles.chained}.`
      : undefined
  }
}

/** Returns false if the file already had this content. */
function replace(directory: string, name: string, content: string, mode: number): boolean {
  mkdirSync(directory, { recursive: true })
  const path = join(directory, name)
  if (readIfThere(path) === content) return false
  replaceFile(path, content, mode)
  return true
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}
