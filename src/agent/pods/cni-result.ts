import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Address, parseAddress } from '../../net/address.ts'
import type { Attachment } from './attachments.ts'

/**
 * A CNI result of another plugin (cni.dev, spec 0.3.0 to 1.1.0). Any field may be missing or have another type, because
 * other projects write it.
 */
interface Result {
  readonly interfaces?: unknown
  readonly ips?: unknown
}

interface ResultInterface {
  readonly name?: unknown
  /** The path of the pod's network namespace. Empty or missing for an interface of the node. */
  readonly sandbox?: unknown
}

/** The pod's own addresses. A plugin may also list addresses of the node, each with the node's device. */
export function addressesOf(result: unknown): readonly Address[] {
  const { interfaces, ips } = objectOf(result) as Result
  const devices = listOf(interfaces).map((each) => objectOf(each) as ResultInterface)
  return listOf(ips).flatMap((each) => {
    const { address, interface: index } = objectOf(each)
    const device = typeof index === 'number' ? devices[index] : undefined
    if (device !== undefined && !device.sandbox) return []
    return parseAddress(String(address).split('/')[0] ?? '') ?? []
  })
}

/** The path of the namespace in which a pod has the interface. Some plugins leave it out. */
function namespaceOf(result: unknown, interfaceName: string): string | undefined {
  const found = listOf((objectOf(result) as Result).interfaces)
    .map((each) => objectOf(each) as ResultInterface)
    .find(({ name, sandbox }) => name === interfaceName && Boolean(sandbox))
  return typeof found?.sandbox === 'string' ? found.sandbox : undefined
}

/** The interface with the pod's own addresses, as kubelet and runtimes agree. */
export const podInterface = 'eth0'

/** A pod that was wired earlier. Runtimes keep the result of every ADD until the DEL. */
export interface CachedResult {
  readonly containerId: string
  readonly interfaceName: string
  readonly pod: Attachment['pod']
  /** The path of the pod's network namespace. Undefined if neither the plugin nor the runtime recorded it. */
  readonly netns: string | undefined
  readonly result: unknown
}

/**
 * Reads the cache of libcni, which containerd and CRI-O use. A file's name is `network-container-interface`. Files of known
 * containers are skipped, and files that are half written or hold something else.
 */
export function readResultCache(directory: string, known: readonly string[]): readonly CachedResult[] {
  let names: readonly string[]
  try {
    names = readdirSync(directory)
  } catch {
    return []
  }
  return names.flatMap((name) => {
    if (known.some((containerId) => name.endsWith(`-${containerId}-${podInterface}`))) return []
    try {
      return parseCached(JSON.parse(readFileSync(join(directory, name), 'utf8'))) ?? []
    } catch {
      return []
    }
  })
}

export function parseCached(value: unknown): CachedResult | undefined {
  const { kind, containerId, ifName, netns, cniArgs, result } = objectOf(value)
  if (kind !== 'cniCacheV1' || typeof containerId !== 'string' || typeof ifName !== 'string') return undefined
  const args = new Map(listOf(cniArgs).map((pair) => listOf(pair).map(String) as [string, string]))
  const [namespace, name] = [args.get('K8S_POD_NAMESPACE'), args.get('K8S_POD_NAME')]
  if (!namespace || !name) return undefined
  return {
    containerId,
    interfaceName: ifName,
    pod: { namespace, name, uid: args.get('K8S_POD_UID') ?? '' },
    netns: namespaceOf(result, ifName) ?? (typeof netns === 'string' ? netns : undefined),
    result,
  }
}

function objectOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}
