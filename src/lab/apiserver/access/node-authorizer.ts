import { type ApiObject, isObject, type JsonObject } from '../objects/api-object.ts'
import { objectsIn } from '../objects/pods/pod-defaults.ts'
import type { Store } from '../objects/store.ts'
import type { Attempt, User } from './access.ts'

/** The node whose kubelet asks. Undefined if the user is not a kubelet. */
export function nodeOf({ name, groups }: User): string | undefined {
  return groups.includes('system:nodes') ? /^system:node:(.+)$/.exec(name)?.[1] : undefined
}

/** `true` allows the request. A text denies it, with the reason. Undefined leaves it to other authorizers. */
type NodeVerdict = true | string | undefined

const reads = ['get', 'list', 'watch']

/**
 * What a kubelet may do, as in the node authorizer of a real API server: it may read what its own pods refer to, and nothing
 * else. Admission checks its writes as well (node-restriction.ts).
 */
export function nodeVerdict(store: Store, node: string, attempt: Attempt): NodeVerdict {
  const { verb, group, resource, subresource } = attempt
  const what = subresource === '' ? resource : `${resource}/${subresource}`
  if (group === 'coordination.k8s.io' && resource === 'leases') return ownLease(node, attempt)
  if (group !== '') return undefined
  switch (what) {
    case 'nodes':
      if (reads.includes(verb)) return ownNode(node, attempt)
      return ['create', 'update', 'patch'].includes(verb) || undefined
    case 'nodes/status':
      return ['update', 'patch'].includes(verb) || undefined
    case 'pods':
      if (verb === 'list' || verb === 'watch') return ownPods(node, attempt)
      if (verb === 'get') return isPodOf(store, node, attempt) || unrelated(node)
      return ['create', 'delete'].includes(verb) || undefined
    case 'pods/status':
      return ['update', 'patch'].includes(verb) || undefined
    case 'pods/eviction':
      return verb === 'create' || undefined
    case 'configmaps':
    case 'secrets':
      if (!reads.includes(verb)) return undefined
      if (attempt.name === '') return 'can only read namespaced object of this type'
      return isNamed(store, node, attempt) || unrelated(node)
    case 'serviceaccounts/token':
      return verb !== 'create' ? undefined : isAccountInUse(store, node, attempt) || unrelated(node)
    case 'services':
      return reads.includes(verb) || undefined
    case 'events':
      return ['create', 'update', 'patch'].includes(verb) || undefined
    default:
      return undefined
  }
}

const unrelated = (node: string): string => `no relationship found between node '${node}' and this object`

function ownLease(node: string, { verb, namespace, name }: Attempt): NodeVerdict {
  if (namespace !== 'kube-node-lease')
    return 'can only access leases in the "kube-node-lease" system namespace'
  if (!['get', 'create', 'update', 'patch', 'delete'].includes(verb))
    return 'can only get, create, update, patch, or delete a node lease'
  if (verb !== 'create' && name !== node)
    return 'can only access node lease with the same name as the requesting node'
  return true
}

function ownNode(node: string, { name }: Attempt): NodeVerdict {
  return (
    name === node ||
    `node '${node}' cannot read ${name === '' ? 'all nodes' : `'${name}'`}, only its own Node object`
  )
}

function ownPods(node: string, { fieldSelector }: Attempt): NodeVerdict {
  const isOwn = (fieldSelector ?? '').split(',').includes(`spec.nodeName=${node}`)
  return isOwn || 'can only list/watch pods with spec.nodeName field selector'
}

function isPodOf(store: Store, node: string, { namespace, name }: Attempt): boolean {
  return store.get('/pods', `${namespace}/${name}`)?.spec?.nodeName === node
}

function podsOf(store: Store, node: string, namespace: string): ApiObject[] {
  return [...store.values('/pods')].filter(
    ({ metadata, spec }) => metadata.namespace === namespace && spec?.nodeName === node,
  )
}

function isAccountInUse(store: Store, node: string, { namespace, name }: Attempt): boolean {
  return podsOf(store, node, namespace).some(({ spec }) => spec?.serviceAccountName === name)
}

function isNamed(store: Store, node: string, { resource, namespace, name }: Attempt): boolean {
  const named = resource === 'secrets' ? secretsIn : configMapsIn
  return podsOf(store, node, namespace).some(({ spec = {} }) => named(spec).includes(name))
}

const part = (of: JsonObject, field: string): JsonObject => (isObject(of[field]) ? of[field] : {})

/** Containers' environments, and volumes with the sources that are projected into them. */
function sourcesIn(spec: JsonObject): { variables: JsonObject[]; volumes: JsonObject[] } {
  const containers = [...objectsIn(spec.initContainers), ...objectsIn(spec.containers)]
  const volumes = objectsIn(spec.volumes)
  return {
    variables: containers.flatMap((container) => [
      ...objectsIn(container.env).map((variable) => part(variable, 'valueFrom')),
      ...objectsIn(container.envFrom),
    ]),
    volumes: [...volumes, ...volumes.flatMap((volume) => objectsIn(part(volume, 'projected').sources))],
  }
}

function configMapsIn(spec: JsonObject): unknown[] {
  const { variables, volumes } = sourcesIn(spec)
  return [
    ...variables.flatMap((each) => [part(each, 'configMapKeyRef').name, part(each, 'configMapRef').name]),
    ...volumes.map((each) => part(each, 'configMap').name),
  ]
}

function secretsIn(spec: JsonObject): unknown[] {
  const { variables, volumes } = sourcesIn(spec)
  return [
    ...objectsIn(spec.imagePullSecrets).map(({ name }) => name),
    ...variables.flatMap((each) => [part(each, 'secretKeyRef').name, part(each, 'secretRef').name]),
    ...volumes.flatMap((each) => [part(each, 'secret').secretName, part(each, 'secret').name]),
  ]
}
