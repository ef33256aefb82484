import { version } from '../api/version.ts'
import type { NetworkPolicyMode } from '../decide/world.ts'
import { type Prefix, parsePrefix } from '../net/prefix.ts'
import {
  canonicalJson,
  mergeStructures,
  nestUnder,
  parseJson,
  type Structure,
  structureIssue,
} from './structured-value.ts'
import { imageSettings, workloadSettings } from './workload-settings.ts'

/** The settings of an install, in the form that processes use. */
export interface Configuration {
  readonly enableEgressGateway: boolean
  /** Patterns of native devices: `eth0`, or `eth+` for every name that begins with eth. Empty: found by themselves. */
  readonly devices: readonly string[]
  readonly slots: number
  /** Another CNI plugin wires the pods; ours comes after it and adds egress. */
  readonly isChained: boolean
  readonly networkPolicies: NetworkPolicyMode
  readonly tunnelPort: number
  readonly healthPort: number
  readonly healthAddress: string
  /** Of the pods; 0: what the underlay leaves. */
  readonly mtu: number
  readonly stackCIDRs: readonly Prefix[]
  readonly nonMasqueradeCIDRs: readonly Prefix[]
  readonly reconciliationIntervalMs: number
  readonly egressIpLingerMs: number
  readonly leaseIdleMs: number
  readonly kubeProxyReplacement: string
  readonly masquerade: boolean
  readonly operatorReplicas: number
  readonly logLevel: string
}

type Kind = 'boolean' | 'integer' | 'duration' | 'word' | 'path' | 'list' | 'cidrs' | Structure

export interface Setting {
  /** As `--set` has it. */
  readonly path: string
  /** As the ConfigMap has it, and `config view` prints it. */
  readonly key: string
  readonly kind: Kind
  readonly fallback: string
  readonly help: string
  /** Only these values are taken. */
  readonly choices?: readonly string[]
  readonly range?: readonly [number, number]
  /** Keys of a map that a user must not set. */
  readonly reserved?: readonly string[]
}

export const imageTagKey = 'image-tag'
export const healthPortKey = 'health-port'
export const cniKeys = { binaries: 'cni-bin-path', configuration: 'cni-conf-path' } as const

/** One line a setting. The first six are those that users of other gateways bring along. */
export const settings: readonly Setting[] = [
  {
    path: 'kubeProxyReplacement',
    key: 'kube-proxy-replacement',
    kind: 'word',
    fallback: 'false',
    choices: ['true', 'false', 'strict', 'partial', 'disabled', 'probe'],
    help: 'Accepted so that existing commands work. Sallyport does not handle Services: kube-proxy, or the other CNI plugin, does.',
  },
  {
    path: 'egressGateway.enabled',
    key: 'enable-ipv4-egress-gateway',
    kind: 'boolean',
    fallback: 'true',
    help: 'Apply egress policies. If false, every pod leaves with its node’s address.',
  },
  {
    path: 'egressGateway.reconciliationTriggerInterval',
    key: 'egress-gateway-reconciliation-trigger-interval',
    kind: 'duration',
    fallback: '1s',
    help: 'Minimum interval between background reconciliations.',
  },
  {
    path: 'egressGateway.egressIPLingerTime',
    key: 'egress-ip-linger-time',
    kind: 'duration',
    fallback: '2h4m',
    help: 'How long nodes keep an egress IP after its last policy is gone, so that open connections can end. Connections that last longer break.',
  },
  {
    path: 'egressGateway.portLeaseIdleTime',
    key: 'port-lease-idle-time',
    kind: 'duration',
    fallback: '10m',
    help: 'How long a node keeps leased ports that no connection uses.',
  },
  {
    path: 'bpf.masquerade',
    key: 'enable-bpf-masquerade',
    kind: 'boolean',
    fallback: 'true',
    choices: ['true'],
    help: 'Traffic that no policy selects leaves with the node’s address. In chained mode the other CNI plugin does that. Only true is supported.',
  },
  {
    path: 'cni.chainingMode',
    key: 'cni-chaining-mode',
    kind: 'word',
    fallback: 'none',
    choices: ['none', 'generic-veth'],
    help: 'none: Sallyport is the cluster’s CNI plugin. generic-veth: another CNI plugin connects the pods by veth pairs, and Sallyport adds egress. Do not change it while pods run.',
  },
  {
    path: 'cni.networkPolicies',
    key: 'cni-network-policies',
    kind: 'word',
    fallback: 'refuse',
    choices: ['refuse', 'bypass'],
    help: 'Chained mode: traffic that an egress policy selects goes past NetworkPolicies. refuse: Sallyport drops it if a NetworkPolicy restricts the pod’s egress. bypass: it leaves.',
  },
  {
    path: 'cni.binPath',
    key: cniKeys.binaries,
    kind: 'path',
    fallback: '/opt/cni/bin',
    help: 'The folder in which the nodes’ container runtime looks for CNI plugins. Do not change it later.',
  },
  {
    path: 'cni.confPath',
    key: cniKeys.configuration,
    kind: 'path',
    fallback: '/etc/cni/net.d',
    help: 'The folder in which the container runtime looks for CNI configurations. Do not change it later.',
  },
  {
    path: 'l7Proxy',
    key: 'enable-l7-proxy',
    kind: 'boolean',
    fallback: 'false',
    choices: ['false'],
    help: 'Accepted so that existing commands work. Only false is supported: Sallyport has no L7 proxy.',
  },
  {
    path: 'devices',
    key: 'devices',
    kind: 'list',
    fallback: '',
    help: 'Network devices by which nodes reach the world: names, or beginnings of names with a +, for example {eth+,net+}. Empty: the devices with the node’s address or a default route.',
  },
  {
    path: 'tunnelProtocol',
    key: 'tunnel-protocol',
    kind: 'word',
    fallback: 'vxlan',
    choices: ['vxlan'],
    help: 'Encapsulation of packets between nodes. Only vxlan is supported.',
  },
  {
    path: 'tunnelPort',
    key: 'tunnel-port',
    kind: 'integer',
    fallback: '8472',
    range: [1, 65535],
    help: 'UDP port of the tunnel. Let it pass between all nodes.',
  },
  {
    path: 'health.port',
    key: healthPortKey,
    kind: 'integer',
    fallback: '9787',
    range: [1, 65535],
    help: 'TCP port of each node at which the agent answers the kubelet’s probes and serves metrics.',
  },
  {
    path: 'health.address',
    key: 'health-address',
    kind: 'word',
    fallback: '127.0.0.1',
    choices: ['127.0.0.1', '0.0.0.0', '::'],
    help: 'Address at which the agent serves probes and metrics. 127.0.0.1: the node itself. 0.0.0.0 or ::, everyone who reaches the node, by IPv4 or by both families: a Prometheus in the cluster needs that. There is no authentication, and nothing secret.',
  },
  {
    path: 'mtu',
    key: 'mtu',
    kind: 'integer',
    fallback: '0',
    range: [0, 65535],
    help: 'MTU of pods. 0: the MTU of the nodes’ network, less the tunnel’s headers.',
  },
  {
    path: 'slots',
    key: 'slots',
    kind: 'integer',
    fallback: '512',
    range: [16, 2048],
    help: 'Number of nodes among which the guaranteed ports of each egress IP are divided: a power of two from 16 to 2048. Above 512, policies that use a node’s own address have leased ports only. Do not change it later.',
  },
  {
    path: 'stackCIDRs',
    key: 'stack-cidrs',
    kind: 'cidrs',
    fallback: '10.96.0.0/12',
    help: 'Destinations that Sallyport leaves to the kernel and kube-proxy: the range of Services.',
  },
  {
    path: 'nonMasqueradeCIDRs',
    key: 'non-masquerade-cidrs',
    kind: 'cidrs',
    fallback: '',
    help: 'Destinations that pods reach with their own address, by the node’s routes. No policy applies to them.',
  },
  {
    path: 'image.repository',
    key: 'image-repository',
    kind: 'word',
    fallback: 'sallyport',
    help: 'Image of agents and operators, without its tag.',
  },
  {
    path: 'image.tag',
    key: imageTagKey,
    kind: 'word',
    fallback: version,
    help: 'Tag of the image. An upgrade sets it to the command’s version.',
  },
  ...imageSettings,
  {
    path: 'operator.replicas',
    key: 'operator-replicas',
    kind: 'integer',
    fallback: '2',
    range: [1, 5],
    help: 'Number of operators. One is active, the others stand by.',
  },
  {
    path: 'logLevel',
    key: 'log-level',
    kind: 'word',
    fallback: 'info',
    choices: ['debug', 'info', 'warn', 'error'],
    help: 'Least severe level of log messages that agents and operators write.',
  },
  ...workloadSettings,
]

/** Whether a setting is a map, an object or a list of objects. */
export const isStructuredPath = (path: string): boolean =>
  settings.some((each) => each.path === path && isStructured(each.kind))

const isStructured = (kind: Kind): kind is Structure =>
  kind === 'map' || kind === 'object' || kind === 'objects'

export type Parsed<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly issues: readonly string[] }

/** A setting by its path, and the text that it is set to. */
export type Assignment = readonly [path: string, value: string | undefined]

/** `--set a.b=c`, `--set devices={eth+,net+}`; several at once with commas outside braces, as Helm has it. */
export function assignmentsIn(sets: readonly string[]): readonly Assignment[] {
  return sets
    .flatMap((set) => set.match(/(?:\{[^}]*\}|[^,{])+/g) ?? [])
    .map((assignment) => {
      const at = assignment.indexOf('=')
      if (at < 0) return [assignment, undefined]
      return [assignment.slice(0, at), assignment.slice(at + 1).replace(/^\{(.*)\}$/, '$1')]
    })
}

/**
 * By the keys of the ConfigMap; of two for one setting the later counts, and objects are merged into what was there before. All
 * issues at once.
 */
export function parseAssignments(
  assignments: readonly Assignment[],
  before: Readonly<Record<string, string>> = {},
): Parsed<Record<string, string>> {
  const issues: string[] = []
  const data: Record<string, string> = {}
  for (const [path, given] of assignments) {
    const setting = settings.find((each) => each.path === path || isInside(each, path))
    const value =
      setting !== undefined && given !== undefined && isStructured(setting.kind)
        ? mergedText(setting, path, given, data[setting.key] ?? before[setting.key] ?? setting.fallback)
        : given
    if (setting === undefined) issues.push(`unknown setting ${path}: did you mean ${nearest(path)}?`)
    else if (value === undefined) issues.push(`${path} has no value: write ${path}=…`)
    else {
      const issue = valueIssue(setting, value)
      if (issue === undefined) data[setting.key] = value
      else issues.push(`${path}: ${issue}`)
    }
  }
  return issues.length > 0 ? { ok: false, issues } : { ok: true, value: data }
}

/** `nodeSelector.disktype` sets a key of the map `nodeSelector`. */
const isInside = ({ kind, path: outer }: Setting, path: string): boolean =>
  (kind === 'map' || kind === 'object') && path.startsWith(`${outer}.`)

function mergedText(setting: Setting, path: string, given: string, before: string): string {
  const isWhole = path === setting.path
  const value = isWhole ? parseJson(given) : nestUnder(path.slice(setting.path.length + 1), given)
  return value === undefined ? given : canonicalJson(mergeStructures(parseJson(before), value))
}

/** The whole ConfigMap: what was set, and the rest as it is by itself. */
export function configMapData(set: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(settings.map(({ key, fallback }) => [key, set[key] ?? fallback]))
}

export function parseConfiguration(data: Readonly<Record<string, string>>): Parsed<Configuration> {
  const issues = settings.flatMap((setting) => {
    const issue = data[setting.key] === undefined ? undefined : valueIssue(setting, data[setting.key] ?? '')
    return issue === undefined ? [] : [`${setting.key}: ${issue}`]
  })
  if (issues.length > 0) return { ok: false, issues }
  const text = (key: string): string =>
    data[key] ?? settings.find((setting) => setting.key === key)?.fallback ?? ''
  const list = (key: string): string[] =>
    text(key)
      .split(/[,\s]+/)
      .filter((item) => item !== '')
  return {
    ok: true,
    value: {
      enableEgressGateway: text('enable-ipv4-egress-gateway') === 'true',
      devices: list('devices'),
      slots: Number(text('slots')),
      isChained: text('cni-chaining-mode') !== 'none',
      networkPolicies: text('cni-network-policies') === 'bypass' ? 'bypass' : 'refuse',
      tunnelPort: Number(text('tunnel-port')),
      healthPort: Number(text(healthPortKey)),
      healthAddress: text('health-address'),
      mtu: Number(text('mtu')),
      stackCIDRs: list('stack-cidrs').flatMap((item) => parsePrefix(item) ?? []),
      nonMasqueradeCIDRs: list('non-masquerade-cidrs').flatMap((item) => parsePrefix(item) ?? []),
      reconciliationIntervalMs: parseDuration(text('egress-gateway-reconciliation-trigger-interval')) ?? 1000,
      egressIpLingerMs: parseDuration(text('egress-ip-linger-time')) ?? 7440_000,
      leaseIdleMs: parseDuration(text('port-lease-idle-time')) ?? 600_000,
      kubeProxyReplacement: text('kube-proxy-replacement'),
      masquerade: text('enable-bpf-masquerade') === 'true',
      operatorReplicas: Number(text('operator-replicas')),
      logLevel: text('log-level'),
    },
  }
}

function valueIssue({ kind, choices, range, key, reserved }: Setting, value: string): string | undefined {
  if (choices !== undefined && !choices.includes(value))
    return `${value} is not possible: ${choices.join(', ')}`
  switch (kind) {
    case 'boolean':
      return value === 'true' || value === 'false' ? undefined : `${value} is neither true nor false`
    case 'integer':
      return integerIssue(value, range ?? [0, Number.MAX_SAFE_INTEGER], key === 'slots')
    case 'path':
      return /^(\/(?!\.\.?(\/|$))[^/\s]+)+$/.test(value) ? undefined : `${value} is no absolute path`
    case 'duration':
      return parseDuration(value) === undefined ? `${value} is no duration: write 500ms, 1s or 2m` : undefined
    case 'cidrs':
      return value
        .split(/[,\s]+/)
        .filter((item) => item !== '' && parsePrefix(item) === undefined)
        .map((item) => `${item} is no CIDR`)[0]
    case 'map':
    case 'object':
    case 'objects':
      return structureIssue(kind, value, reserved)
    default:
      return undefined
  }
}

function integerIssue(
  value: string,
  [least, most]: readonly [number, number],
  isPowerOfTwo: boolean,
): string | undefined {
  const number = /^\d+$/.test(value) ? Number(value) : Number.NaN
  if (!(number >= least && number <= most)) return `${value} is not a whole number from ${least} to ${most}`
  return isPowerOfTwo && (number & (number - 1)) !== 0 ? `${value} is no power of two` : undefined
}

/** As Go writes durations: 250ms, 1s, 1m30s. Undefined where it is none. */
export function parseDuration(text: string): number | undefined {
  const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)]
  if (parts.length === 0 || parts.map(([part]) => part).join('') !== text) return undefined
  return parts.reduce((sum, [, amount, unit]) => sum + Number(amount) * (unitMs[unit ?? ''] ?? 0), 0)
}

/** The setting whose name needs the fewest edits. */
function nearest(path: string): string {
  const ranked = settings.map((setting) => ({
    path: setting.path,
    distance: editDistance(path, setting.path),
  }))
  return ranked.sort((a, b) => a.distance - b.distance)[0]?.path ?? ''
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1]?.toLowerCase() === b[j - 1]?.toLowerCase()
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, (row[j - 1] ?? 0) + (same ? 0 : 1)))
    }
    row = next
  }
  return row[b.length] ?? 0
}
