/** One of the files in which a container runtime finds networks. */
interface NetworkFile {
  readonly name: string
  readonly content: string
}

/** What our plugin reads on its standard input, beside what the runtime adds. */
export interface PluginEntry {
  readonly type: string
  readonly agentSocket: string
}

/** What this agent has written, in either mode. Each sorts before what others usually have: the runtime takes the first. */
export const ownFiles = { standalone: '05-sallyport.conflist', chained: '0-sallyport.conflist' } as const

/** The file that the runtime would take if ours were not there, as runtimes choose: the first by name. */
export function chooseNetworkFile(names: readonly string[]): string | undefined {
  const own: readonly string[] = Object.values(ownFiles)
  return names
    .filter((name) => /\.(conflist|conf|json)$/.test(name) && !own.includes(name))
    .sort()
    .at(0)
}

/**
 * The other plugin's network with ours as its last plugin. The name stays, and with it what plugins keep by it (addresses
 * given, results of earlier pods): a pod that came by one list can go by the other. Throws where the file is no network.
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
  /* A single plugin's file (.conf). A list is what runtimes make of it themselves. */
  const { cniVersion = '0.2.0', name = '', ...plugin } = fields
  return { cniVersion, name, plugins: [plugin] }
}
