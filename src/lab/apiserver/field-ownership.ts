import { type ApiObject, isEqual, isObject, type JsonObject, type ManagedFields } from './api-object.ts'
import { keyOfItem, type ListTypes } from './list-merging.ts'
import { StatusError } from './status-error.ts'

/**
 * Server-side apply. Each manager owns the leaves that it has set; applying sets what is said, removes what the manager
 * owned and says no longer, and conflicts where another manager owns a leaf with another value.
 * A leaf is a path of `f:field`, `k:{"key":"value"}` and `v:"value"` parts, or the item of a list itself (`.`); a list that
 * is not merged is a leaf as a whole.
 */
export type Path = readonly string[]

const notOwned = new Set(['apiVersion', 'kind'])
const metadataOwned = new Set(['labels', 'annotations', 'finalizers', 'ownerReferences'])

/** What ends a path to an item of a list: who owns that, and drops it, takes the whole item away. */
const itself = '.'

export function leavesOf(object: ApiObject, lists: ListTypes): Map<string, unknown> {
  const leaves = new Map<string, unknown>()
  for (const [field, value] of Object.entries(object)) {
    if (notOwned.has(field)) continue
    if (field !== 'metadata') collect(value, [`f:${field}`], leaves, lists.at(field))
    else
      for (const [name, part] of Object.entries(value as JsonObject))
        if (metadataOwned.has(name))
          collect(part, ['f:metadata', `f:${name}`], leaves, lists.at(field).at(name))
  }
  return leaves
}

function collect(value: unknown, path: Path, leaves: Map<string, unknown>, lists: ListTypes): void {
  if (value === undefined) return
  const type = Array.isArray(value) && value.length > 0 ? lists.of(value) : undefined
  if (type?.kind === 'map')
    for (const item of value as JsonObject[]) {
      const at = [...path, `k:${JSON.stringify(keyOfItem(type, item))}`]
      leaves.set(JSON.stringify([...at, itself]), true)
      for (const [name, part] of Object.entries(item))
        collect(part, [...at, `f:${name}`], leaves, lists.item.at(name))
    }
  else if (type?.kind === 'set')
    for (const item of value as unknown[])
      leaves.set(JSON.stringify([...path, `v:${JSON.stringify(item)}`, itself]), true)
  else if (isObject(value) && Object.keys(value).length > 0)
    for (const [name, part] of Object.entries(value))
      collect(part, [...path, `f:${name}`], leaves, lists.at(name))
  else leaves.set(JSON.stringify(path), value)
}

function toFields(paths: Iterable<string>): JsonObject {
  const root: JsonObject = {}
  for (const path of paths) {
    let node = root
    for (const part of JSON.parse(path) as string[]) {
      node[part] ??= {}
      node = node[part] as JsonObject
    }
  }
  return root
}

export function pathsOf(fields: JsonObject, before: Path = []): string[] {
  const isItem = /^[kv]:/.test(before.at(-1) ?? '')
  const entries = Object.entries(fields).filter(([part]) => part !== itself || isItem)
  if (entries.length === 0) return before.length === 0 ? [] : [JSON.stringify(before)]
  return entries.flatMap(([part, below]) => pathsOf(below as JsonObject, [...before, part]))
}

const isSameManager = (
  entry: ManagedFields,
  manager: string,
  operation: string,
  subresource: string | undefined,
): boolean => entry.manager === manager && entry.operation === operation && entry.subresource === subresource

/** After any other write: who wrote owns the leaves that changed, and nobody owns what is gone. */
export function trackUpdate(
  before: ApiObject | undefined,
  after: ApiObject,
  manager: string,
  subresource: string | undefined,
  time: string,
  lists: ListTypes,
): ManagedFields[] {
  const [old, current] = [
    before === undefined ? new Map<string, unknown>() : leavesOf(before, lists),
    leavesOf(after, lists),
  ]
  const changed = new Set(
    [...current].filter(([path, value]) => !isEqual(old.get(path), value)).map(([path]) => path),
  )
  const kept = (after.metadata.managedFields ?? []).map((entry) => {
    const isMine = isSameManager(entry, manager, 'Update', subresource)
    const paths = pathsOf(entry.fieldsV1).filter(
      (path) => current.has(path) && (isMine || !changed.has(path)),
    )
    return { entry, isMine, paths: isMine ? [...new Set([...paths, ...changed])] : paths }
  })
  const entries = kept.map(({ entry, isMine, paths }) => ({
    ...entry,
    ...(isMine && changed.size > 0 ? { time } : {}),
    fieldsV1: toFields(paths),
  }))
  if (changed.size > 0 && !kept.some(({ isMine }) => isMine))
    entries.push({
      manager,
      operation: 'Update',
      apiVersion: after.apiVersion,
      time,
      fieldsType: 'FieldsV1',
      fieldsV1: toFields(changed),
      ...(subresource === undefined ? {} : { subresource }),
    })
  return entries.filter(({ fieldsV1 }) => Object.keys(fieldsV1).length > 0)
}

/** Throws the conflict unless forced. */
export function applyConfiguration(
  live: ApiObject | undefined,
  applied: ApiObject,
  manager: string,
  force: boolean,
  subresource: string | undefined,
  time: string,
  lists: ListTypes,
): ApiObject {
  const wanted = leavesOf(applied, lists)
  const present = live === undefined ? new Map<string, unknown>() : leavesOf(live, lists)
  const entries = live?.metadata.managedFields ?? []
  const mine = entries.find((entry) => isSameManager(entry, manager, 'Apply', subresource))
  const others = entries.filter((entry) => entry !== mine)
  refuseConflicts(wanted, present, others, force)
  const ownedByOthers = new Set(others.flatMap((entry) => pathsOf(entry.fieldsV1)))
  const dropped =
    mine === undefined
      ? []
      : pathsOf(mine.fieldsV1).filter((path) => !wanted.has(path) && !ownedByOthers.has(path))
  let result = structuredClone(
    live ?? { apiVersion: applied.apiVersion, kind: applied.kind, metadata: { ...applied.metadata } },
  ) as ApiObject
  for (const path of dropped) removePath(result, JSON.parse(path) as string[], lists)
  result = mergeApplied(result, applied, lists) as ApiObject
  const remaining = others.map((entry) => {
    const paths = pathsOf(entry.fieldsV1)
    const kept = force
      ? paths.filter((path) => !wanted.has(path) || isEqual(present.get(path), wanted.get(path)))
      : paths
    return { ...entry, fieldsV1: toFields(kept) }
  })
  result.metadata = {
    ...result.metadata,
    managedFields: [
      ...remaining.filter(({ fieldsV1 }) => Object.keys(fieldsV1).length > 0),
      {
        manager,
        operation: 'Apply',
        apiVersion: applied.apiVersion,
        time: mine !== undefined && isEqual(mine.fieldsV1, toFields(wanted.keys())) ? mine.time : time,
        fieldsType: 'FieldsV1',
        fieldsV1: toFields(wanted.keys()),
        ...(subresource === undefined ? {} : { subresource }),
      },
    ],
  }
  return result
}

function refuseConflicts(
  wanted: ReadonlyMap<string, unknown>,
  present: ReadonlyMap<string, unknown>,
  others: readonly ManagedFields[],
  force: boolean,
): void {
  if (force) return
  const causes = others.flatMap((entry) =>
    pathsOf(entry.fieldsV1)
      .filter((path) => wanted.has(path) && !isEqual(wanted.get(path), present.get(path)))
      .map((path) => ({
        reason: 'FieldManagerConflict',
        message: `conflict with "${entry.manager}" using ${entry.apiVersion}`,
        field: dotted(path),
      })),
  )
  if (causes.length === 0) return
  const text = causes.map(({ message, field }) => `${message}: ${field}`).join('\n')
  throw new StatusError(
    409,
    'Conflict',
    `Apply failed with ${causes.length} conflict${causes.length === 1 ? '' : 's'}: ${text}`,
    { causes },
  )
}

function dotted(path: string): string {
  return (JSON.parse(path) as string[])
    .filter((part) => part !== itself)
    .map((part) => {
      if (part.startsWith('f:')) return `.${part.slice(2)}`
      if (part.startsWith('v:')) return `[=${part.slice(2)}]`
      const keys = Object.entries(JSON.parse(part.slice(2)) as JsonObject)
      return `[${keys.map(([key, value]) => `${key}=${JSON.stringify(value)}`).join(',')}]`
    })
    .join('')
}

function mergeApplied(target: unknown, applied: unknown, lists: ListTypes): unknown {
  if (Array.isArray(applied)) return mergeList(Array.isArray(target) ? target : [], applied, lists)
  if (!isObject(applied)) return applied
  const result: JsonObject = isObject(target) ? { ...target } : {}
  for (const [name, value] of Object.entries(applied))
    result[name] = mergeApplied(result[name], value, lists.at(name))
  return result
}

function mergeList(before: readonly unknown[], applied: readonly unknown[], lists: ListTypes): unknown[] {
  const [type, other] = [lists.of(applied), lists.of(before)]
  if (type.kind === 'atomic' || other.kind === 'atomic') return [...applied]
  const keyOf = (item: unknown): unknown => (type.kind === 'map' ? keyOfItem(type, item) : item)
  const result = [...before]
  for (const item of applied) {
    const at = result.findIndex((each) => isEqual(keyOf(each), keyOf(item)))
    if (at < 0) result.push(item)
    else if (type.kind === 'map') result[at] = mergeApplied(result[at], item, lists.item)
  }
  return result
}

/** Removes a leaf, and what becomes empty above it, but never the object's own top-level fields. */
function removePath(node: unknown, path: readonly string[], lists: ListTypes): void {
  const [part, ...rest] = path
  if (part === undefined || typeof node !== 'object' || node === null) return
  if (Array.isArray(node)) {
    removeItem(node, part, rest, lists)
    return
  }
  const name = part.slice(2)
  const holder = node as JsonObject
  if (!Object.hasOwn(holder, name)) return
  if (rest.length === 0) delete holder[name]
  else {
    removePath(holder[name], rest, lists.at(name))
    const below = holder[name]
    const isEmpty = Array.isArray(below)
      ? below.length === 0
      : isObject(below) && Object.keys(below).length === 0
    if (isEmpty && name !== 'spec' && name !== 'metadata') delete holder[name]
  }
}

function removeItem(list: unknown[], part: string, rest: readonly string[], lists: ListTypes): void {
  const type = lists.of(list)
  const wanted: unknown = JSON.parse(part.slice(2))
  const at = list.findIndex((item) => isEqual(type.kind === 'map' ? keyOfItem(type, item) : item, wanted))
  if (at < 0) return
  if (rest[0] === itself) list.splice(at, 1)
  else removePath(list[at], rest, lists.item)
}
