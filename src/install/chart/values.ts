import type { Setting } from '../settings/setting.ts'
import { settings } from '../settings/settings.ts'
import type { Json } from '../settings/structured-value.ts'
import { imageTagKey } from '../settings/workload-settings.ts'

/** A setting that only the chart has. */
interface ChartSetting {
  readonly path: string
  readonly help: string
  readonly fallback: Json
  readonly schema: Json
}

export const chartSettings: readonly ChartSetting[] = [
  {
    path: 'definitions.cilium',
    help: 'Create the definition of CiliumEgressGatewayPolicy. Helm does not replace a definition of another product. helm template cannot detect one, so set false there.',
    fallback: true,
    schema: { type: 'boolean' },
  },
  {
    path: 'definitions.isovalent',
    help: 'Create the definition of IsovalentEgressGatewayPolicy, as for definitions.cilium.',
    fallback: true,
    schema: { type: 'boolean' },
  },
  {
    path: 'force',
    help: 'Let an upgrade change a setting that open connections or running pods depend on, as NAME=VALUE. Any other change of such a setting is refused.',
    fallback: '',
    schema: { type: 'string' },
  },
  {
    path: 'cleanUp',
    help: 'Set it to true before helm uninstall. It replaces agents and operators with pods that remove Sallyport’s files and programs from each node.',
    fallback: false,
    schema: { type: 'boolean' },
  },
]

/** The default of a setting in values.yaml, with the type that Helm users expect. */
function defaultOf({ key, kind, fallback }: Setting): Json {
  /* An empty default prevents `helm upgrade --reuse-values` from keeping the image of the old version. */
  if (key === imageTagKey) return ''
  switch (kind) {
    case 'boolean':
      return fallback === 'true'
    case 'integer':
      return Number(fallback)
    case 'list':
    case 'cidrs':
    case 'portRanges':
      return fallback.split(',').filter((item) => item !== '')
    case 'map':
    case 'object':
    case 'objects':
      return JSON.parse(fallback) as Json
    default:
      return fallback
  }
}

export function helpOf({ key, help, choices = [] }: Setting): string {
  if (key === imageTagKey) return 'Tag of the image. If empty, the version of the chart.'
  return choices.length > 1 ? `${help} One of: ${choices.join(', ')}.` : help
}

interface Branch {
  readonly [name: string]: Branch | Leaf
}
interface Leaf {
  readonly help: string
  readonly value: Json
}
const isLeaf = (node: Branch | Leaf): node is Leaf => 'help' in node && typeof node.help === 'string'

/** Renders values.yaml: every setting once, nested by its path, with its help as a comment. */
export function renderValues(): string {
  const leaves = [
    ...settings.map((each) => ({ path: each.path, help: helpOf(each), value: defaultOf(each) })),
    ...chartSettings.map(({ path, help, fallback }) => ({ path, help, value: fallback })),
  ]
  const head = `# The settings of Sallyport. "sallyport install --help" lists the same settings.\n`
  return `${head}\n${renderBranch(nest(leaves), '').join('\n')}\n`
}

function nest(leaves: readonly (Leaf & { readonly path: string })[]): Branch {
  const root: Record<string, Branch | Leaf> = {}
  for (const { path, help, value } of leaves) {
    const names = path.split('.')
    const last = names.pop() ?? ''
    let branch = root
    for (const name of names) {
      branch[name] ??= {}
      branch = branch[name] as Record<string, Branch | Leaf>
    }
    branch[last] = { help, value }
  }
  return root
}

function renderBranch(branch: Branch, indent: string): string[] {
  return Object.entries(branch).flatMap(([name, node]) =>
    isLeaf(node)
      ? [
          ...wrap(node.help, 110 - indent.length).map((line) => `${indent}# ${line}`),
          `${indent}${name}: ${flow(node.value)}`,
        ]
      : [`${indent}${name}:`, ...renderBranch(node, `${indent}  `)],
  )
}

/** JSON is valid YAML. Simple words need no quotes. */
function flow(value: Json): string {
  return typeof value === 'string' &&
    /^[a-z/][\w./-]*$/i.test(value) &&
    !/^(true|false|yes|no|on|off|null|y|n)$/i.test(value)
    ? value
    : JSON.stringify(value)
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = []
  for (const word of text.split(' ')) {
    const last = lines.at(-1)
    if (last === undefined || last.length + word.length + 1 > width) lines.push(word)
    else lines[lines.length - 1] = `${last} ${word}`
  }
  return lines
}
