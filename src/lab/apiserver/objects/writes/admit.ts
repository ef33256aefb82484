import { badRequest, type FieldIssue, invalid, StatusError } from '../../http/status-error.ts'
import { decodeDefinition } from '../../schema/definition-shape.ts'
import { wrong } from '../../schema/field-issues.ts'
import { applyDefaults, prune, type Schema, validate } from '../../schema/schema.ts'
import { type ApiObject, isObject, type JsonObject } from '../api-object.ts'
import { decodeConfigMap, undeclaredField } from '../config-map.ts'
import { apiVersionOf, type ResourceKind } from '../resources.ts'
import { builtInIssues, changeIssues, checkShape } from '../rules/built-in-rules.ts'
import { finalizerWarnings, immutableIssues, pruneMetadata } from '../rules/object-metadata.ts'
import type { WriteRequest } from './write-request.ts'

/** The body must be of the kind of the URL; what the kind does not know is removed, and named as asked. */
export function admit(request: WriteRequest, object: ApiObject): ApiObject {
  const { kind, fieldValidation, warn } = request
  requireKind(kind, object)
  checkShape(kind, object)
  const { unknown, problem } = decode(kind, object)
  const cannot = `${kind.kind} in version "${kind.version}" cannot be handled as a ${kind.kind}: `
  if (problem !== undefined)
    throw request.isPatch ? badPatch(object, problem) : badRequest(`${cannot}${problem}`)
  if (unknown.length > 0 && fieldValidation === 'Strict') {
    const fields = unknown.map((path) => `unknown field "${path}"`).join(', ')
    if (request.isPatch) throw badPatch(object, `strict decoding error: ${fields}`)
    throw badRequest(`${cannot}strict decoding error: ${fields}`)
  }
  if (fieldValidation === 'Warn') for (const path of unknown) warn(`unknown field "${path}"`)
  return object
}

function badPatch(object: ApiObject, why: string): StatusError {
  return invalid('', '', '', [wrong('patch', JSON.stringify(object), why)])
}

/** Built-in kinds may be left out of a body. */
function requireKind(kind: ResourceKind, object: ApiObject): void {
  const isCustom = kind.custom !== undefined
  const wanted = apiVersionOf(kind)
  if (!isCustom) {
    object.apiVersion ||= wanted
    object.kind ||= kind.kind
  }
  if (!object.kind)
    throw badRequest(
      `the object provided is unrecognized (must be of type ${kind.kind}): Object 'Kind' is missing in '${JSON.stringify(object)}'`,
    )
  if (object.apiVersion !== wanted)
    throw badRequest(
      `the API version in the data (${object.apiVersion ?? ''}) does not match the expected API version (${wanted})`,
    )
  if (object.kind === kind.kind) return
  if (isCustom)
    throw invalid(kind.group, object.kind, object.metadata.name ?? '', [
      wrong('kind', object.kind, `must be ${kind.kind}`),
    ])
  throw badRequest(
    `${object.kind} in version "${kind.version}" cannot be handled as a ${kind.kind}: no kind "${object.kind}" is registered for version "${wanted}" in scheme "pkg/apiserver/apiserver.go:55"`,
  )
}

interface Decoded {
  readonly unknown: readonly string[]
  readonly problem: string | undefined
}

/** Drops what is no field of the kind, as far as its fields are known here. */
function decode(kind: ResourceKind, object: ApiObject): Decoded {
  if (kind.custom !== undefined)
    return {
      unknown: [...prune(object, kind.custom.schema as Schema), ...pruneMetadata(object.metadata)],
      problem: undefined,
    }
  if (kind.kind === 'ConfigMap') return decodeConfigMap(object)
  return kind.kind === 'CustomResourceDefinition'
    ? decodeDefinition(object)
    : { unknown: [], problem: undefined }
}

/** Throws what is wrong with an object that is about to be stored. */
export function check(request: WriteRequest, object: ApiObject, live: ApiObject | undefined): void {
  const issues = issuesOf(request, object, live)
  const { kind } = request
  if (issues.length > 0) throw invalid(kind.group, kind.kind, object.metadata.name, issues)
  for (const text of finalizerWarnings(object)) request.warn(text)
}

function issuesOf(
  { kind, subresource }: WriteRequest,
  object: ApiObject,
  live: ApiObject | undefined,
): FieldIssue[] {
  if (subresource === 'status' && kind.kind === 'CustomResourceDefinition') return []
  const found = builtInIssues(kind, object, live)
  if (kind.custom === undefined)
    return live === undefined || subresource !== '' ? found : [...found, ...changeIssues(kind, live, object)]
  const schema = kind.custom.schema as Schema
  if (live === undefined) applyDefaults(object, schema)
  const issues = validate(object, live, schema, found)
  if (live?.metadata.deletionTimestamp !== undefined) issues.push(...found.filter(isOfFinalizers))
  return subresource === 'status' ? issues.filter(isOfStatus).map(withoutStatus) : issues
}

/** A real API server repeats this message for custom objects, too. */
const isOfFinalizers = ({ field, reason }: FieldIssue): boolean =>
  field === 'metadata.finalizers' && reason === 'FieldValueForbidden'

const isOfStatus = ({ field }: FieldIssue): boolean => field === '<nil>' || field.startsWith('status')

/** An API server validates a status alone, and its messages say so. */
function withoutStatus(issue: FieldIssue): FieldIssue {
  return { ...issue, message: issue.message.replace(/\bstatus\.(\S+ in body )/, '$1') }
}

/** Fields that no update may change. A real API server repeats the message. */
export function refuseImmutable(request: WriteRequest, live: ApiObject, object: ApiObject): void {
  const { kind } = request
  const issues = immutableIssues(live, object)
  if (issues.length > 0) throw invalid(kind.group, kind.kind, live.metadata.name, [...issues, ...issues])
}

/** Go leaves out what is empty. */
export function dropEmptyMetadata({ metadata }: ApiObject): void {
  for (const field of ['labels', 'annotations', 'finalizers', 'ownerReferences', 'managedFields']) {
    const value = metadata[field]
    const isEmpty = Array.isArray(value)
      ? value.length === 0
      : isObject(value) && Object.keys(value).length === 0
    if (isEmpty) delete metadata[field]
  }
}

/** Fields of an applied object that the kind does not have: an apply needs to know the type of each. */
export function refuseUndeclared({ kind, name }: WriteRequest, applied: ApiObject): void {
  const problem = kind.kind === 'ConfigMap' ? undeclaredField(applied) : undeclaredCustom(kind, applied)
  if (problem === undefined) return
  const gvk = `${kind.group}/${kind.version}, Kind=${kind.kind}`
  throw new StatusError(
    500,
    '',
    `failed to create typed patch object (${applied.metadata.namespace ?? ''}/${name}; ${gvk}): ${problem}`,
  )
}

function undeclaredCustom(kind: ResourceKind, applied: ApiObject): string | undefined {
  if (kind.custom === undefined) return undefined
  const copy = structuredClone(applied)
  const [path] = [...prune(copy, kind.custom.schema as Schema), ...pruneMetadata(copy.metadata as JsonObject)]
  return path === undefined ? undefined : `.${path}: field not declared in schema`
}
