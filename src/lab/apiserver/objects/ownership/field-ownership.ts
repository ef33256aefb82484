import { StatusError } from '../../http/status-error.ts'
import { type ApiObject, isEqual, isObject, type JsonObject, type ManagedFields } from '../api-object.ts'
import {
  changesBetween,
  decodeFields,
  dottedPath,
  encodeFields,
  type FieldSet,
  fieldsOf,
} from './field-sets.ts'
import { keyOfItem, type ListTypes } from './list-merging.ts'

/*
 * Who owns which field, and server-side apply, as the API server does both: applying sets the fields that the applied object has,
 * removes those that its manager owned and no longer applies, and conflicts where it changes a field of another manager. An
 * empty map is a field, too.
 */

/** Who writes, and how. */
export interface Writer {
  readonly manager: string
  readonly subresource: string | undefined
  readonly time: string
}

interface Owner extends Omit<ManagedFields, 'fieldsV1'> {
  readonly fields: FieldSet
}

/** The first apply treats the fields of an object without managedFields as owned by this manager. */
const unknownManager = 'before-first-apply'

function readOwners(entries: readonly ManagedFields[]): Owner[] {
  return entries.map(({ fieldsV1, ...entry }) => ({ ...entry, fields: new Set(decodeFields(fieldsV1)) }))
}

/** Sorted as the API server sorts them. An owner of nothing is left out. */
function writeOwners(owners: readonly Owner[]): ManagedFields[] {
  const rank = ({ operation, time = '', manager, subresource = '' }: Owner): string =>
    [operation, time, manager, subresource].join(' ')
  return owners
    .filter(({ fields }) => fields.size > 0)
    .sort((a, b) => (rank(a) < rank(b) ? -1 : 1))
    .map(({ fields, subresource, ...entry }) => ({
      ...entry,
      fieldsV1: encodeFields(fields),
      ...(subresource === undefined ? {} : { subresource }),
    }))
}

const isOf = ({ manager, subresource }: Writer, operation: Owner['operation'], owner: Owner): boolean =>
  owner.manager === manager && owner.operation === operation && owner.subresource === subresource

function minus(fields: FieldSet, ...others: readonly FieldSet[]): Set<string> {
  return new Set([...fields].filter((path) => !others.some((other) => other.has(path))))
}

/** After any write except an apply: the writer owns the fields that changed, and removed fields have no owner. */
export function trackUpdate(
  before: ApiObject,
  after: ApiObject,
  writer: Writer,
  lists: ListTypes,
  entries = after.metadata.managedFields ?? [],
): ManagedFields[] {
  const { added, modified, removed } = changesBetween(before, after, lists)
  const owners = readOwners(entries)
  const mine = owners.find((owner) => isOf(writer, 'Update', owner))
  const fields = new Set([...minus(mine?.fields ?? new Set(), removed), ...added, ...modified])
  const isSame = mine !== undefined && isEqual([...mine.fields].sort(), [...fields].sort())
  return writeOwners([
    ...owners
      .filter((owner) => owner !== mine)
      .map((owner) => ({ ...owner, fields: minus(owner.fields, added, modified, removed) })),
    {
      manager: writer.manager,
      operation: 'Update',
      apiVersion: after.apiVersion,
      time: (isSame ? mine.time : undefined) ?? writer.time,
      fieldsType: 'FieldsV1',
      fields,
      ...(writer.subresource === undefined ? {} : { subresource: writer.subresource }),
    },
  ])
}

/**
 * Throws the conflict unless forced. `known`: of the live object, what this writer may own. `empty` is what an object of the kind is compared with that is not
 * there yet.
 */
export function applyConfiguration(
  live: ApiObject | undefined,
  applied: ApiObject,
  writer: Writer & { readonly force: boolean },
  lists: ListTypes,
  empty: ApiObject,
  known = live,
): ApiObject {
  const wanted = fieldsOf(applied, lists)
  const owners = readOwners(known === undefined ? [] : knownOwners(known, writer.time, lists, empty))
  const mine = owners.find((owner) => isOf(writer, 'Apply', owner))
  const others = owners.filter((owner) => owner !== mine)
  let result = structuredClone(
    live ?? { apiVersion: applied.apiVersion, kind: applied.kind, metadata: { ...applied.metadata } },
  ) as ApiObject
  for (const path of droppedFields(mine?.fields ?? new Set(), wanted, others))
    removePath(result, JSON.parse(path) as string[], lists)
  result = mergeApplied(result, applied, lists) as ApiObject
  const { added, modified, removed } = changesBetween(live ?? empty, result, lists)
  const changed = new Set([...added, ...modified])
  if (!writer.force) refuseConflicts(others, changed)
  const time = changed.size + removed.size > 0 ? writer.time : mine?.time
  const managedFields = writeOwners([
    ...others.map((owner) => ({ ...owner, fields: minus(owner.fields, changed, removed) })),
    {
      manager: writer.manager,
      operation: 'Apply',
      apiVersion: applied.apiVersion,
      ...(time === undefined ? {} : { time }),
      fieldsType: 'FieldsV1',
      fields: wanted,
      ...(writer.subresource === undefined ? {} : { subresource: writer.subresource }),
    },
  ])
  result.metadata = { ...result.metadata, managedFields }
  return result
}

/** Fields without an owner belong to an unknown manager, so that an apply does not take them silently. */
function knownOwners(live: ApiObject, time: string, lists: ListTypes, empty: ApiObject): ManagedFields[] {
  const { managedFields = [] } = live.metadata
  if (managedFields.length > 0) return managedFields
  return trackUpdate(empty, live, { manager: unknownManager, subresource: undefined, time }, lists, [])
}

/** An item before its fields, by which it is found. A field stays while another manager owns it or a field below it. */
function droppedFields(mine: FieldSet, wanted: FieldSet, others: readonly Owner[]): string[] {
  const owned = [...wanted, ...others.flatMap(({ fields }) => [...fields])]
  const isKept = (path: string): boolean => {
    const above = path.slice(0, -1)
    return owned.some((other) => other === path || other.startsWith(`${above},`))
  }
  return [...mine].filter((path) => !isKept(path)).sort((a, b) => a.length - b.length)
}

function refuseConflicts(others: readonly Owner[], changed: FieldSet): void {
  const conflicts = others
    .map((owner) => ({
      who: describe(owner),
      fields: [...owner.fields].filter((path) => changed.has(path)).sort(),
    }))
    .filter(({ fields }) => fields.length > 0)
  if (conflicts.length === 0) return
  const causes = conflicts.flatMap(({ who, fields }) =>
    fields.map((path) => ({
      reason: 'FieldManagerConflict',
      message: `conflict with ${who}`,
      field: dottedPath(path),
    })),
  )
  const text = conflicts
    .map(({ who, fields }) =>
      fields.length === 1
        ? `conflict with ${who}: ${dottedPath(fields[0] ?? '')}`
        : `conflicts with ${who}:${fields.map((path) => `\n- ${dottedPath(path)}`).join('')}`,
    )
    .join('\n')
  const count = `${causes.length} conflict${causes.length === 1 ? '' : 's'}`
  throw new StatusError(409, 'Conflict', `Apply failed with ${count}: ${text}`, { causes })
}

function describe({ manager, operation, apiVersion, subresource }: Owner): string {
  const by = subresource === undefined ? '' : ` with subresource ${JSON.stringify(subresource)}`
  return `${JSON.stringify(manager)}${by}${operation === 'Update' ? ` using ${apiVersion}` : ''}`
}

function mergeApplied(target: unknown, applied: unknown, lists: ListTypes): unknown {
  if (Array.isArray(applied)) return mergeList(Array.isArray(target) ? target : [], applied, lists)
  if (!isObject(applied) || lists.isAtomicMap) return applied
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
  if (rest.length === 0) list.splice(at, 1)
  else removePath(list[at], rest, lists.item)
}
