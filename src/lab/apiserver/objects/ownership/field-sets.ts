import { type ApiObject, isEqual, isObject, type JsonObject } from '../api-object.ts'
import { keyOfItem, type ListTypes } from './list-merging.ts'

/**
 * Fields that a manager owns, as managedFields has them: the JSON of paths whose parts are `f:field`, `k:{"key":"value"}` and
 * `v:"value"`. A path is in the set if the field itself is owned; fields below it are paths of their own.
 */
export type FieldSet = ReadonlySet<string>
type Path = readonly string[]

const notOwned = ['apiVersion', 'kind']
const metadataOwned = ['labels', 'annotations', 'finalizers', 'ownerReferences', 'generateName']

const textOf = (path: Path): string => JSON.stringify(path)

/** What of an object may be owned: of its metadata only what users say. */
function ownable({ metadata, ...rest }: ApiObject): JsonObject {
  const kept = Object.entries(metadata ?? {}).filter(([name]) => metadataOwned.includes(name))
  const body = Object.entries(rest).filter(([name]) => !notOwned.includes(name))
  return Object.fromEntries([...body, ['metadata', Object.fromEntries(kept)]])
}

/** Every field that an applied object sets. */
export function fieldsOf(object: ApiObject, lists: ListTypes): Set<string> {
  const fields = new Set<string>()
  collect(ownable(object), [], lists, fields)
  fields.delete(textOf(['f:metadata']))
  return fields
}

function collect(value: unknown, path: Path, lists: ListTypes, fields: Set<string>): void {
  if (Array.isArray(value)) collectItems(value, path, lists, fields)
  else if (!isObject(value) || lists.isAtomicMap) fields.add(textOf(path))
  else
    for (const [name, below] of Object.entries(value)) {
      const at = [...path, `f:${name}`]
      const isEmpty = below === null || (isObject(below) && Object.keys(below).length === 0)
      if (isEmpty || !lists.isField(name)) fields.add(textOf(at))
      if (below !== null) collect(below, at, lists.at(name), fields)
    }
}

function collectItems(items: readonly unknown[], path: Path, lists: ListTypes, fields: Set<string>): void {
  const parts = partsOf(items, lists)
  if (parts === undefined) fields.add(textOf(path))
  else
    for (const [part, item] of parts) {
      fields.add(textOf([...path, part]))
      if (isObject(item)) collect(item, [...path, part], lists.item, fields)
    }
}

/** The items of a list that is merged item by item, by their parts of a path; undefined: the list is one value. */
function partsOf(items: readonly unknown[], lists: ListTypes): Map<string, unknown> | undefined {
  const type = lists.of(items)
  if (type.kind === 'atomic') return undefined
  return new Map(
    items.map((item) => [
      type.kind === 'set' ? `v:${JSON.stringify(item)}` : `k:${JSON.stringify(keyOfItem(type, item))}`,
      item,
    ]),
  )
}

interface Changes {
  readonly added: FieldSet
  readonly modified: FieldSet
  readonly removed: FieldSet
}

/** What a write changed. A field that came or went is named itself, and so is everything below it. */
export function changesBetween(before: ApiObject, after: ApiObject, lists: ListTypes): Changes {
  const changes = { added: new Set<string>(), modified: new Set<string>(), removed: new Set<string>() }
  compare(ownable(before), ownable(after), [], lists, changes)
  return changes
}

type Collected = Readonly<Record<keyof Changes, Set<string>>>

function compare(before: unknown, after: unknown, path: Path, lists: ListTypes, changes: Collected): void {
  if (before === undefined) changes.added.add(textOf(path))
  else if (after === undefined) changes.removed.add(textOf(path))
  const [old, current] = [childrenOf(before, lists), childrenOf(after, lists)]
  if (old === undefined || current === undefined || (isBare(old) && isBare(current))) {
    if (before !== undefined && after !== undefined && !isEqual(before, after))
      changes.modified.add(textOf(path))
    return
  }
  for (const part of new Set([...old.keys(), ...current.keys()])) {
    const below = part.startsWith('f:') ? lists.at(part.slice(2)) : lists.item
    compare(old.get(part), current.get(part), [...path, part], below, changes)
  }
}

const isBare = (children: ReadonlyMap<string, unknown>): boolean => children.size === 0

/** Undefined: the value is one leaf. A value that is not there has no children, and takes any form. */
function childrenOf(value: unknown, lists: ListTypes): ReadonlyMap<string, unknown> | undefined {
  if (value === undefined || value === null) return new Map()
  if (Array.isArray(value)) return partsOf(value, lists)
  if (!isObject(value) || lists.isAtomicMap) return undefined
  return new Map(
    Object.entries(value)
      .filter(([, below]) => below !== undefined)
      .map(([name, below]) => [`f:${name}`, below]),
  )
}

/** As managedFields has them: `.` is the field itself, where fields below it are owned too. */
export function encodeFields(fields: Iterable<string>): JsonObject {
  const root: JsonObject = {}
  const nodes: JsonObject[] = []
  for (const path of [...fields].sort()) {
    let node = root
    for (const part of JSON.parse(path) as string[]) {
      node[part] ??= {}
      node = node[part] as JsonObject
    }
    nodes.push(node)
  }
  for (const node of nodes) if (Object.keys(node).length > 0) node['.'] = {}
  return root
}

export function decodeFields(fields: JsonObject, path: Path = []): string[] {
  const entries = Object.entries(fields)
  if (entries.length === 0) return path.length === 0 ? [] : [textOf(path)]
  return entries.flatMap(([part, below]) =>
    part === '.' ? [textOf(path)] : decodeFields(below as JsonObject, [...path, part]),
  )
}

/** `.spec.ports[port=80,protocol="TCP"].name` */
export function dottedPath(path: string): string {
  return (JSON.parse(path) as string[])
    .map((part) => {
      if (part.startsWith('f:')) return `.${part.slice(2)}`
      if (part.startsWith('v:')) return `[=${part.slice(2)}]`
      const keys = Object.entries(JSON.parse(part.slice(2)) as JsonObject)
      return `[${keys.map(([key, value]) => `${key}=${JSON.stringify(value)}`).join(',')}]`
    })
    .join('')
}
