import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, watch } from 'node:fs'
import { join } from 'node:path'
import type { Clock } from '../../runtime/clock.ts'
import type { Logger } from '../../runtime/log.ts'
import { replaceFile } from '../../runtime/replace-file.ts'
import { installBinary, pluginType, removeBinary } from './cni-binary.ts'
import { chainNetwork, chooseNetworkFile, ownFiles, type PluginEntry } from './network-list.ts'

/** Where container runtimes look. */
export const pluginFolders = { binaries: '/opt/cni/bin', configuration: '/etc/cni/net.d' }
const configurationDirectory = pluginFolders.configuration
/** The image says so of itself. */
const isInImage = process.env.SALLYPORT_IMAGE !== undefined

/**
 * Puts the plugin and its configuration where the container runtime looks. The configuration is what makes the node
 * Ready, so it comes last, and only when the agent can answer.
 */
export function installPlugin(socketPath: string, log: Logger): void {
  installBinary(pluginFolders.binaries, { isInImage, agentSocket: socketPath })
  /* With the capability, the plugin is told of the host ports that a pod asks for, and refuses it: nothing here serves them. */
  const plugin = { ...entryFor(socketPath), capabilities: { portMappings: true } }
  const configuration = { cniVersion: '1.0.0', name: 'sallyport', plugins: [plugin] }
  replace(configurationDirectory, ownFiles.standalone, `${JSON.stringify(configuration, null, 2)}\n`, 0o644)
  removeConfiguration('chained')
  log.info({ file: join(configurationDirectory, ownFiles.standalone) }, 'installed the CNI plugin')
}

/** A file of ours that nobody removes would have pods wait for an agent that will never come. */
function removeConfiguration(mode: keyof typeof ownFiles): void {
  rmSync(join(configurationDirectory, ownFiles[mode]), { force: true })
}

/** Files that were there. The runtime finds no network of ours from the first of them on. */
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

/** A writer's several steps are one change. */
const writersPauseMs = 50

/**
 * Keeps our plugin chained to whatever network the node has. The other plugin's file stays as it is, so that its owner has
 * nothing to repair; ours is made from it, and again each time it changes.
 */
export class ChainedConfiguration {
  readonly #entry: PluginEntry
  readonly #clock: Clock
  readonly #log: Logger
  /** Why pods come without our plugin; undefined when they do not. */
  problem: string | undefined

  constructor(socketPath: string, clock: Clock, log: Logger) {
    this.#entry = entryFor(socketPath)
    this.#clock = clock
    this.#log = log
  }

  /** Now, and until the signal. Where the directory cannot be watched, `look` finds what has changed. */
  keep(signal: AbortSignal): void {
    installBinary(pluginFolders.binaries, { isInImage, agentSocket: this.#entry.agentSocket })
    removeConfiguration('standalone')
    mkdirSync(configurationDirectory, { recursive: true })
    this.look()
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
        stopPause = this.#clock.after(writersPauseMs, () => this.look())
      }).on('error', notWatched)
    } catch (error) {
      notWatched(error)
    }
  }

  look(): void {
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
      ? `Network configuration ${name} sorts before ${ownFiles.chained}, so pods start without egress policies. Rename it so that it sorts after.`
      : undefined
  }
}

/** False where it was there already. */
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
