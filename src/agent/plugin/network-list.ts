/** A network configuration file of the container runtime. */
interface NetworkFile {
  readonly name: string
  readonly content: string
}

/** Our plugin's entry in a network list. The plugin reads it on its standard input, with fields that the runtime adds. */
export interface PluginEntry {
  readonly type: string
  readonly agentSocket: string
}

/** The file that the agent writes in each mode. The runtime uses the first file by name, so these sort before usual names. */
export const ownFiles = { standalone: '05-sallyport.conflist', chained: '0-sallyport.conflist' } as const

/** The file that the runtime would use without ours: the first by name. */
export function chooseNetworkFile(names: readonly string[]): string | undefined {
  const own: readonly string[] = Object.values(ownFiles)
  return names
    .filter((name) => /\.(conflist|conf|json)$/.test(name) && !own.includes(name))
    .sort()
    .at(0)
}

/**
 * Returns the other plugin's network list with our plugin as its last plugin. The network keeps its name, because plugins
 * store assigned addresses and results under it. So a pod that was added with one list can be deleted with the other.
 * Throws if the file is not a network configuration.
 */
export function chainNetwork({ name: file, content }: NetworkFile, entry: PluginEntry): string {
  const { plugins, ...list } = parseList(file, content)
  const others = plugins.filter(({ type }) => type !== entry.type)
  return `${JSON.stringify({ ...list, plugins: [...others, entry] }, null, 2)}\n`
}

interface NetworkList {
  readonly plugins: readonly { readonly type?: unknown }[]
  readonly [field: string]: unknown
}

function parseList(file: string, content: string): NetworkList {
  let parsed: unknown
  try {
    parsed = JSON.parse(content)
  } catch (cause) {
    throw new Error(`network configuration ${file} is not valid JSON`, { cause })
  }
  const fields = (typeof parsed === 'object' && parsed !== null ? parsed : {}) as Record<string, unknown>
  if (Array.isArray(fields.plugins) && fields.plugins.length > 0) return fields as NetworkList
  if (typeof fields.type !== 'string')
    throw new Error(`network configuration ${file} has neither plugins nor type`)
  /* A file of a single plugin (.conf). Runtimes turn it into a list in the same way. */
  const { cniVersion = '0.2.0', name = '', ...plugin } = fields
  return { cniVersion, name, plugins: [plugin] }
}
