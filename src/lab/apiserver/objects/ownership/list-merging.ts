import type { Schema } from '../../schema/schema.ts'
import { isEqual, isObject, type JsonObject } from '../api-object.ts'
import type { ResourceKind } from '../resources.ts'

/**
 * How a list is merged with another: item by item, told apart by keys; as a set of values; or not at all. A key that an
 * item lacks has its default.
 */
type ListType =
  | { readonly kind: 'map'; readonly keys: readonly string[]; readonly defaults: JsonObject }
  | { readonly kind: 'set' }
  | { readonly kind: 'atomic' }

/** What is known of the lists in an object, on the way down through its fields. */
export interface ListTypes {
  /** Of a list that is here. A list that the keys cannot tell apart is one value: merged by them it would lose items. */
  of(items: readonly unknown[]): ListType
  at(field: string): ListTypes
  readonly item: ListTypes
  /** A map that is replaced as a whole. */
  readonly isAtomicMap: boolean
  /** Whether this is a field of the kind, rather than a key of a map. */
  isField(name: string): boolean
}

const atomic: ListType = { kind: 'atomic' }
const set: ListType = { kind: 'set' }
const mapBy = (...keys: readonly string[]): ListType => ({
  kind: 'map',
  keys,
  defaults: keys.includes('protocol') ? { protocol: 'TCP' } : {},
})

const builtInTypes: Readonly<Record<string, ListType>> = {
  containers: mapBy('name'),
  initContainers: mapBy('name'),
  ephemeralContainers: mapBy('name'),
  containerStatuses: mapBy('name'),
  volumes: mapBy('name'),
  volumeMounts: mapBy('mountPath'),
  env: mapBy('name'),
  conditions: mapBy('type'),
  addresses: mapBy('type'),
  imagePullSecrets: mapBy('name'),
  hostAliases: mapBy('ip'),
  ownerReferences: mapBy('uid'),
  secrets: mapBy('name'),
  finalizers: set,
}

/** Structures that Kubernetes replaces as a whole: selectors, and references to another object. */
const atomicMaps = new Set([
  'selector',
  'nodeSelector',
  'fieldRef',
  'resourceFieldRef',
  'secretKeyRef',
  'configMapKeyRef',
  'involvedObject',
  'targetRef',
  'roleRef',
])

/** `ports` of a container are identified by containerPort, those of a Service by port. */
function builtInType(field: string, items: readonly unknown[]): ListType {
  if (field !== 'ports') return Object.hasOwn(builtInTypes, field) ? (builtInTypes[field] ?? atomic) : atomic
  const isContainers = items.some((item) => isObject(item) && 'containerPort' in item)
  return mapBy(isContainers ? 'containerPort' : 'port', 'protocol')
}

/** By the names of fields, which among built-in kinds mean the same everywhere. */
export function builtInLists(field = ''): ListTypes {
  return {
    of: (items) => usable(builtInType(field, items), items),
    at: builtInLists,
    get item() {
      const items = builtInLists()
      return field === 'ownerReferences' ? { ...items, item: items.item, isAtomicMap: true } : items
    },
    isAtomicMap: atomicMaps.has(field),
    isField: () => true,
  }
}

/** Reads only the definition. */
function customLists(schema: Schema | undefined): ListTypes {
  return {
    of: (items) => usable(listTypeOf(schema), items),
    at: (field) => {
      const below = schema?.properties?.[field] ?? schema?.additionalProperties
      return customLists(isObject(below) ? (below as Schema) : undefined)
    },
    get item() {
      return customLists(schema?.items)
    },
    isAtomicMap: schema?.['x-kubernetes-map-type'] === 'atomic',
    isField: (name) => schema?.properties?.[name] !== undefined || !isObject(schema?.additionalProperties),
  }
}

export function listTypeOf(schema: Schema | undefined): ListType {
  const { 'x-kubernetes-list-type': type, 'x-kubernetes-list-map-keys': keys = [] } = schema ?? {}
  if (type === 'set') return set
  if (type !== 'map') return atomic
  const withDefault = keys.flatMap((key) => {
    const value = schema?.items?.properties?.[key]?.default
    return value === undefined ? [] : [[key, value]]
  })
  return { kind: 'map', keys, defaults: Object.fromEntries(withDefault) }
}

/** Metadata is the same in every kind. */
export function listsOf(kind: ResourceKind): ListTypes {
  if (kind.custom === undefined) return builtInLists()
  const lists = customLists(kind.custom.schema as Schema)
  return { ...lists, at: (field) => (field === 'metadata' ? builtInLists(field) : lists.at(field)) }
}

function usable(type: ListType, items: readonly unknown[]): ListType {
  if (type.kind === 'atomic') return atomic
  const names = items.map((item) => (type.kind === 'set' ? item : keyOfItem(type, item)))
  const isTold = names.every(
    (name, index) => name !== undefined && !names.slice(0, index).some((other) => isEqual(other, name)),
  )
  return isTold ? type : atomic
}

/** The keys with their values; undefined where one is missing. */
export function keyOfItem(
  { keys, defaults }: Extract<ListType, { kind: 'map' }>,
  item: unknown,
): JsonObject | undefined {
  if (!isObject(item)) return undefined
  const values = keys.map((key) => [key, item[key] ?? defaults[key]] as const)
  return values.some(([, value]) => value === undefined) ? undefined : Object.fromEntries(values)
}
