import { type ApiObject, isEqual, isObject, type JsonObject, type ManagedFields } from './api-object.ts'
import { mergeKeyOf } from './patches.ts'
import { StatusError } from './status-error.ts'

/**
 * Server-side apply. Each manager owns the leaves that it has set; applying sets what is said, removes what the manager
 * owned and says no longer, and conflicts where another manager owns a leaf with another value.
 * A leaf is a path of `f:field` and `k:{"key":"value"}` parts; lists without a known key are leaves as a whole.
 */
export type Path = readonly string[]

const notOwned = new Set(['apiVersion', 'kind'])
const metadataOwned = new Set(['labels', 'annotations', 'finalizers', 'ownerReferences'])

export function leavesOf(object: ApiObject): Map<string, unknown> {
  const leaves = new Map<string, unknown>()
  for (const [field, value] of Object.entries(object)) {
    if (notOwned.has(field)) continue
    if (field !== 'metadata') collect(value, [`f:${field}`], leaves)
    else
      for (const [name, part] of Object.entries(value as JsonObject))
        if (metadataOwned.has(name)) collect(part, ['f:metadata', `f:${name}`], leaves)
  }
  return leaves
}

function collect(value: unknown, path: Path, leaves: Map<string, unknown>): void {
  if (value === undefined) return
  const key = Array.isArray(value) ? mergeKeyOf(path.at(-1)?.slice(2) ?? '', value) : undefined
  if (
    Array.isArray(value) &&
    key !== undefined &&
    value.every((item) => isObject(item) && item[key] !== undefined)
  ) {
    for (const item of value as JsonObject[])
      for (const [name, part] of Object.entries(item))
        collect(part, [...path, keyPart(key, item), `f:${name}`], leaves)
    return
  }
  if (isObject(value) && Object.keys(value).length > 0)
    for (const [name, part] of Object.entries(value)) collect(part, [...path, `f:${name}`], leaves)
  else leaves.set(JSON.stringify(path), value)
}

function keyPart(key: string, item: JsonObject): string {
  return `k:${JSON.stringify({ [key]: item[key] })}`
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
  const entries = Object.entries(fields).filter(([part]) => part !== '.')
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
): ManagedFields[] {
  const [old, current] = [
    before === undefined ? new Map<string, unknown>() : leavesOf(before),
    leavesOf(after),
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
): ApiObject {
  const wanted = leavesOf(applied)
  const present = live === undefined ? new Map<string, unknown>() : leavesOf(live)
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
  for (const path of dropped) removePath(result, JSON.parse(path) as string[])
  result = mergeApplied(result, applied) as ApiObject
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
    .map((part) =>
      part.startsWith('f:')
        ? `.${part.slice(2)}`
        : `[${part.slice(2).replace(/^\{"(.*?)":(.*)\}$/, '$1=$2')}]`,
    )
    .join('')
}

function mergeApplied(target: unknown, applied: unknown, field = ''): unknown {
  if (Array.isArray(applied)) {
    const before = Array.isArray(target) ? target : []
    const key = mergeKeyOf(field, [...before, ...applied])
    if (key === undefined) return applied
    const result = [...before]
    for (const item of applied as JsonObject[]) {
      const at = result.findIndex((each) => isEqual((each as JsonObject)[key], item[key]))
      if (at >= 0) result[at] = mergeApplied(result[at], item)
      else result.push(item)
    }
    return result
  }
  if (!isObject(applied)) return applied
  const result: JsonObject = isObject(target) ? { ...target } : {}
  for (const [name, value] of Object.entries(applied)) result[name] = mergeApplied(result[name], value, name)
  return result
}

/** Removes a leaf, and what becomes empty above it, but never the object's own top-level fields. */
function removePath(node: unknown, path: readonly string[]): void {
  const [part, ...rest] = path
  if (part === undefined || typeof node !== 'object' || node === null) return
  if (part.startsWith('k:')) {
    const wanted = JSON.parse(part.slice(2)) as JsonObject
    const list = node as unknown[]
    const at = list.findIndex((item) =>
      Object.entries(wanted).every(([key, value]) => isEqual((item as JsonObject)[key], value)),
    )
    if (at < 0) return
    removePath(list[at], rest)
    if (Object.keys(list[at] as JsonObject).length === 0) list.splice(at, 1)
    return
  }
  const name = part.slice(2)
  const holder = node as JsonObject
  if (!Object.hasOwn(holder, name)) return
  if (rest.length === 0) delete holder[name]
  else {
    removePath(holder[name], rest)
    const below = holder[name]
    if (isObject(below) && Object.keys(below).length === 0 && name !== 'spec' && name !== 'metadata')
      delete holder[name]
  }
}
