import { badRequest, StatusError } from '../../http/status-error.ts'
import { isEqual, isObject, type JsonObject } from '../api-object.ts'
import { builtInLists } from '../ownership/list-merging.ts'

const mediaTypes = {
  json: 'application/json-patch+json',
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
} as const

const objectPatch = 'map[string]interface {}'
const listPatch = '[]handlers.jsonPatchOp'

/** Chooses by the request's media type. Strategic merge needs Go types, which custom kinds lack. */
export function applyPatch(type: string, base: unknown, patch: unknown, isCustom: boolean): unknown {
  if (type === mediaTypes.json)
    return Array.isArray(patch) ? jsonPatch(base, patch) : refuseDecoding(patch, listPatch)
  const isKnown = type === mediaTypes.merge || (type === mediaTypes.strategic && !isCustom)
  if (!isKnown) throw unknownType(isCustom)
  if (!isObject(patch)) return refuseDecoding(patch, objectPatch)
  return type === mediaTypes.merge ? mergePatch(base, patch) : strategicPatch(base, patch)
}

function refuseDecoding(patch: unknown, wanted: string): never {
  const found = Array.isArray(patch) ? 'array' : typeof patch === 'boolean' ? 'bool' : typeof patch
  throw badRequest(`error decoding patch: json: cannot unmarshal ${found} into Go value of type ${wanted}`)
}

function unknownType(isCustom: boolean): StatusError {
  const types = [
    mediaTypes.json,
    mediaTypes.merge,
    ...(isCustom ? [] : [mediaTypes.strategic]),
    'application/apply-patch+yaml',
  ]
  return new StatusError(
    415,
    'UnsupportedMediaType',
    `the body of the request was in an unknown format - accepted media types include: ${types.join(', ')}`,
  )
}

/** RFC 7386: null deletes, lists are replaced. */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch
  const result: JsonObject = isObject(target) ? { ...target } : {}
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key]
    else result[key] = mergePatch(result[key], value)
  }
  return result
}

/** A real API server gives no details of a step that fails. */
function refused(): StatusError {
  return new StatusError(422, 'Invalid', 'the server rejected our request due to an error in our request')
}

interface JsonPatchStep {
  readonly op: string
  readonly path: string
  readonly from?: string
  readonly value?: unknown
}

/** RFC 6902. A failing step leaves the object as it was. */
export function jsonPatch(target: unknown, steps: unknown): unknown {
  if (!Array.isArray(steps)) throw refused()
  const root = { document: structuredClone(target) }
  for (const step of steps as unknown[]) {
    if (!isObject(step) || typeof step.op !== 'string' || typeof step.path !== 'string') throw refused()
    applyStep(root, step as unknown as JsonPatchStep)
  }
  return root.document
}

function applyStep(root: { document: unknown }, { op, path, from, value }: JsonPatchStep): void {
  switch (op) {
    case 'add':
      writeAt(root, path, value ?? null, true)
      return
    case 'replace':
      writeAt(root, path, value, false)
      return
    case 'remove':
      removeAt(root, path)
      return
    case 'test':
      if (!isEqual(valueAt(root, path) ?? null, value ?? null)) throw refused()
      return
    case 'copy':
      writeAt(root, path, structuredClone(readAt(root, from ?? '')), true)
      return
    case 'move': {
      const moved = readAt(root, from ?? '')
      removeAt(root, from ?? '')
      writeAt(root, path, moved, true)
      return
    }
    default:
      throw refused()
  }
}

function partsOf(pointer: string): string[] {
  if (pointer !== '' && !pointer.startsWith('/')) throw refused()
  return [
    'document',
    ...pointer
      .split('/')
      .slice(1)
      .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~')),
  ]
}

function parentOf(
  root: { document: unknown },
  pointer: string,
): { parent: JsonObject | unknown[]; last: string } {
  const parts = partsOf(pointer)
  const last = parts.pop() ?? ''
  let parent: unknown = root
  // Own fields only: a path through __proto__ would reach what all objects share.
  for (const part of parts)
    parent =
      typeof parent === 'object' && parent !== null && Object.hasOwn(parent, part)
        ? (parent as JsonObject)[part]
        : undefined
  if (typeof parent !== 'object' || parent === null) throw refused()
  return { parent: parent as JsonObject | unknown[], last }
}

function valueAt(root: { document: unknown }, pointer: string): unknown {
  const { parent, last } = parentOf(root, pointer)
  const at = indexIn(parent, last)
  return Object.hasOwn(parent, at) ? (parent as JsonObject)[at] : undefined
}

function readAt(root: { document: unknown }, pointer: string): unknown {
  const value = valueAt(root, pointer)
  if (value === undefined) throw refused()
  return value
}

/** A negative index counts from the end of a list. */
function indexIn(parent: JsonObject | unknown[], last: string): string {
  return Array.isArray(parent) && /^-\d+$/.test(last) ? String(parent.length + Number(last)) : last
}

function writeAt(root: { document: unknown }, pointer: string, value: unknown, isInsertion: boolean): void {
  const { parent, last } = parentOf(root, pointer)
  if (!Array.isArray(parent)) {
    parent[last] = value
    return
  }
  if (last !== '-' && !(/^\d+$/.test(last) && Number(last) <= parent.length)) throw refused()
  if (last === '-') parent.push(value)
  else if (isInsertion) parent.splice(Number(last), 0, value)
  else parent[Number(last)] = value
}

function removeAt(root: { document: unknown }, pointer: string): void {
  readAt(root, pointer)
  const { parent, last } = parentOf(root, pointer)
  if (Array.isArray(parent)) parent.splice(Number(indexIn(parent, last)), 1)
  else delete parent[last]
}

const directives = /^\$(setElementOrder|deleteFromPrimitiveList|retainKeys|patch)/

/** Kubernetes' strategic merge patch, as kubectl sends it for built-in kinds. */
export function strategicPatch(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch
  if (patch.$patch === 'delete') return undefined
  if (patch.$patch === 'replace') return withoutDirectives(patch)
  const result: JsonObject = isObject(target) ? { ...target } : {}
  if (Array.isArray(patch.$retainKeys))
    for (const key of Object.keys(result)) if (!patch.$retainKeys.includes(key)) delete result[key]
  for (const [key, value] of Object.entries(patch)) {
    if (key.startsWith('$deleteFromPrimitiveList/')) removePrimitives(result, key.slice(25), value)
    if (directives.test(key)) continue
    if (value === null) delete result[key]
    else if (Array.isArray(value)) result[key] = mergeLists(key, result[key], value)
    else result[key] = strategicPatch(result[key], value)
  }
  for (const [key, order] of Object.entries(patch))
    if (key.startsWith('$setElementOrder/')) reorder(result, key.slice(17), order)
  return result
}

function withoutDirectives(patch: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(patch).filter(([key]) => !directives.test(key)))
}

function removePrimitives(result: JsonObject, field: string, gone: unknown): void {
  const present = result[field]
  if (Array.isArray(present) && Array.isArray(gone))
    result[field] = present.filter((item) => !gone.includes(item))
}

/** A patch names an item by those of its keys that it has: kubectl leaves out a port's protocol. */
function findItem(items: readonly unknown[], keys: readonly string[], wanted: JsonObject): number {
  const named = keys.filter((key) => wanted[key] !== undefined)
  return named.length === 0
    ? -1
    : items.findIndex((each) => isObject(each) && named.every((key) => isEqual(each[key], wanted[key])))
}

function mergeLists(field: string, target: unknown, patch: readonly unknown[]): unknown[] {
  const before = Array.isArray(target) ? target : []
  if (patch.some((item) => isObject(item) && item.$patch === 'replace'))
    return patch.filter((item) => isObject(item) && item.$patch !== 'replace')
  const types = [builtInLists(field).of(before), builtInLists(field).of(patch)]
  if (types.every(({ kind }) => kind === 'set')) {
    const isSame = (value: unknown) => (each: unknown) => isEqual(each, value)
    return inOrder([...new Set([...before, ...patch])], before, patch, isSame)
  }
  const [type, ofPatch] = types
  if (type?.kind !== 'map' || ofPatch?.kind !== 'map') return [...patch]
  const keys = before.length === 0 ? ofPatch.keys : type.keys
  const result = [...before]
  for (const item of patch) {
    if (!isObject(item)) continue
    const at = findItem(result, keys, item)
    if (item.$patch === 'delete') {
      if (at >= 0) result.splice(at, 1)
    } else if (at >= 0) result[at] = strategicPatch(result[at], item)
    else result.push(strategicPatch({}, item))
  }
  const isSame = (value: unknown) => (each: unknown) =>
    isObject(value) && isObject(each) && findItem([each], keys, value) === 0
  return inOrder(result, before, patch, isSame)
}

/** Items of the patch in its order; before each of the others come those that are new, or were before it. */
function inOrder(
  merged: readonly unknown[],
  before: readonly unknown[],
  patch: readonly unknown[],
  isSame: (value: unknown) => (each: unknown) => boolean,
): unknown[] {
  const ofPatch = patch.flatMap((item) => merged.filter(isSame(item)).slice(0, 1))
  const others = merged.filter((item) => !ofPatch.includes(item))
  const place = (item: unknown): number => before.findIndex(isSame(item))
  const result: unknown[] = []
  while (ofPatch.length > 0 && others.length > 0)
    result.push(place(ofPatch[0]) < place(others[0]) ? ofPatch.shift() : others.shift())
  return [...result, ...ofPatch, ...others]
}

function reorder(result: JsonObject, field: string, order: unknown): void {
  const present = result[field]
  if (!Array.isArray(present) || !Array.isArray(order)) return
  const type = builtInLists(field).of(present)
  const rank = (item: unknown): number => {
    const at = order.findIndex((each) =>
      type.kind === 'map' && isObject(each) && isObject(item)
        ? findItem([item], type.keys, each) === 0
        : isEqual(each, item),
    )
    return at < 0 ? order.length : at
  }
  result[field] = present.map((item) => item).sort((a, b) => rank(a) - rank(b))
}
