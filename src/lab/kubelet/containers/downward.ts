import { parseQuantity } from '../../cluster/quantity.ts'
import type { Container, Pod } from '../pod-spec.ts'
import type { DownwardItem, ResourceFieldRef } from '../volumes/volume-spec.ts'

export interface PodAddresses {
  readonly podIPs: readonly string[]
  readonly hostIPs: readonly string[]
}

/** The node's resources, for a container without limits. */
export interface Allocatable {
  readonly cpu: string
  readonly memory: string
}

const quoted = (text: string): string => JSON.stringify(text)

const lines = (map: Readonly<Record<string, string>>): string =>
  Object.entries(map)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${quoted(value)}`)
    .join('\n')

/** The downward API's fields of a pod. Undefined: there is no such field. */
export function fieldOf(pod: Pod, path: string, addresses?: PodAddresses): string | undefined {
  const { metadata, spec } = pod
  const one = /^metadata\.(labels|annotations)\['(.+)'\]$/.exec(path)
  if (one !== null) return metadata[one[1] as 'labels' | 'annotations']?.[one[2] ?? ''] ?? ''
  switch (path) {
    case 'metadata.name':
      return metadata.name
    case 'metadata.namespace':
      return metadata.namespace ?? ''
    case 'metadata.uid':
      return metadata.uid ?? ''
    case 'metadata.labels':
      return lines(metadata.labels ?? {})
    case 'metadata.annotations':
      return lines(metadata.annotations ?? {})
    case 'spec.nodeName':
      return spec.nodeName ?? ''
    case 'spec.serviceAccountName':
      return spec.serviceAccountName ?? 'default'
    case 'status.podIP':
      return addresses?.podIPs[0]
    case 'status.podIPs':
      return addresses?.podIPs.join()
    case 'status.hostIP':
      return addresses?.hostIPs[0]
    case 'status.hostIPs':
      return addresses?.hostIPs.join()
    default:
      return undefined
  }
}

/** A container's request or limit, divided by the divisor and rounded up. Without a limit, the node's resources count. */
export function resourceOf(
  container: Container,
  { resource, divisor = '1' }: ResourceFieldRef,
  allocatable: Allocatable,
): string {
  const [kind = '', name = ''] = resource.split('.')
  const { requests = {}, limits = {} } = container.resources ?? {}
  const known = (kind === 'limits' ? limits : requests)[name]
  const text = known ?? (kind === 'limits' ? (allocatable[name as keyof Allocatable] ?? '0') : '0')
  return String(Math.ceil(parseQuantity(text) / (parseQuantity(divisor) || 1)))
}

/** One file of a downward API volume. */
export function downwardText(pod: Pod, item: DownwardItem, allocatable: Allocatable): string {
  const { fieldRef, resourceFieldRef } = item
  if (resourceFieldRef !== undefined) {
    const { containerName } = resourceFieldRef
    const container = pod.spec.containers.find(({ name }) => name === containerName)
    if (container === undefined) throw new Error(`container ${containerName} not found`)
    return resourceOf(container, resourceFieldRef, allocatable)
  }
  const text = fieldOf(pod, fieldRef?.fieldPath ?? '')
  if (text === undefined) throw new Error(`unsupported fieldPath: ${fieldRef?.fieldPath}`)
  return text
}
