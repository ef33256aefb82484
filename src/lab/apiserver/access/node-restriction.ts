import { StatusError } from '../http/status-error.ts'
import { type ApiObject, isEqual } from '../objects/api-object.ts'
import { type ResourceKind, resourceKey } from '../objects/resources.ts'
import type { Store } from '../objects/store.ts'
import type { User } from './access.ts'
import { nodeOf } from './node-authorizer.ts'

/** A change that a kubelet requests. */
interface NodeWrite {
  readonly kind: ResourceKind
  readonly subresource: string
  readonly verb: 'create' | 'update' | 'delete'
  /** The object before the change. Undefined if it is created. */
  readonly live: ApiObject | undefined
  /** The object after the change. Undefined if it is deleted. */
  readonly object: ApiObject | undefined
}

/** Labels of kubernetes.io that a kubelet may give its own Node. */
const ownLabels = [
  'kubernetes.io/hostname',
  'kubernetes.io/arch',
  'kubernetes.io/os',
  'beta.kubernetes.io/arch',
  'beta.kubernetes.io/os',
  'beta.kubernetes.io/instance-type',
  'node.kubernetes.io/instance-type',
  'failure-domain.beta.kubernetes.io/region',
  'failure-domain.beta.kubernetes.io/zone',
  'topology.kubernetes.io/region',
  'topology.kubernetes.io/zone',
]

/** The admission plugin NodeRestriction: a kubelet may change only its own Node and the pods of that node. */
export function restrictNode(user: User, write: NodeWrite): void {
  const node = nodeOf(user)
  if (node === undefined) return
  if (resourceKey(write.kind) === '/nodes') restrictNodes(node, write)
  if (resourceKey(write.kind) === '/pods') restrictPods(node, write)
}

function refused(kind: ResourceKind, name: string, why: string): StatusError {
  return new StatusError(403, 'Forbidden', `${kind.plural} "${name}" is forbidden: ${why}`, {
    name,
    kind: kind.plural,
  })
}

function restrictNodes(node: string, { kind, verb, live, object }: NodeWrite): void {
  const name = (object ?? live)?.metadata.name ?? ''
  if (name !== node) throw refused(kind, name, `node "${node}" is not allowed to modify node "${name}"`)
  if (object === undefined) return
  const [before, after] = [live?.metadata.labels ?? {}, object.metadata.labels ?? {}]
  const changed = [...new Set([...Object.keys(before), ...Object.keys(after)])].filter(
    (key) => before[key] !== after[key] && isReserved(key),
  )
  if (changed.length > 0) {
    const what = verb === 'create' ? 'set the following labels' : 'modify labels'
    throw refused(kind, name, `is not allowed to ${what}: ${changed.sort().join(', ')}`)
  }
  if (live !== undefined && !isEqual(live.spec?.taints ?? [], object.spec?.taints ?? []))
    throw refused(kind, name, `node "${node}" is not allowed to modify taints`)
}

function isReserved(label: string): boolean {
  const [prefix = ''] = label.split('/')
  const isKubernetes = /(^|\.)(kubernetes|k8s)\.io$/.test(prefix)
  const isKubelets = /(^|\.)(kubelet|node)\.kubernetes\.io$/.test(prefix)
  return isKubernetes && !isKubelets && !ownLabels.includes(label)
}

const mirror = 'kubernetes.io/config.mirror'

function restrictPods(node: string, { kind, subresource, verb, live, object }: NodeWrite): void {
  const name = (object ?? live)?.metadata.name ?? ''
  if (verb === 'create' && subresource === '') {
    if (object?.metadata.annotations?.[mirror] === undefined)
      throw refused(
        kind,
        name,
        `pod does not have "${mirror}" annotation, node "${node}" can only create mirror pods`,
      )
    return
  }
  if (live?.spec?.nodeName === node) return
  const what = verb === 'delete' ? 'delete' : 'update status for'
  throw refused(kind, name, `node "${node}" can only ${what} pods with spec.nodeName set to itself`)
}

/** Looks at a deletion before it is done. */
export function restrictDeletion(store: Store, user: User, kind: ResourceKind, key: string): void {
  const live = store.get(resourceKey(kind), key)
  if (live !== undefined)
    restrictNode(user, { kind, subresource: '', verb: 'delete', live, object: undefined })
}
