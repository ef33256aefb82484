import type { FieldIssue } from '../../http/status-error.ts'
import { forbidden, missing, wrong } from '../../schema/field-issues.ts'
import { type ApiObject, isObject, type JsonObject } from '../api-object.ts'

/** Fields of metadata with their Go types; what is not here is no field. */
const fieldTypes: Readonly<Record<string, 'string' | 'int64' | 'time' | 'texts' | 'map' | 'objects'>> = {
  name: 'string',
  generateName: 'string',
  namespace: 'string',
  selfLink: 'string',
  uid: 'string',
  resourceVersion: 'string',
  generation: 'int64',
  creationTimestamp: 'time',
  deletionTimestamp: 'time',
  deletionGracePeriodSeconds: 'int64',
  labels: 'map',
  annotations: 'map',
  ownerReferences: 'objects',
  finalizers: 'texts',
  managedFields: 'objects',
}

const subdomain = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/
const qualifiedPart = /^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/
const labelValue = /^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$/
export const subdomainRule = `a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')`
const nameRule = `name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')`
const valueRule = `a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')`
const maxNameLength = 253
const maxPartLength = 63
const maxAnnotationBytes = 262_144
/** How long a name may be that letters are added to. */
const maxGenerated = 58

/** Why metadata cannot be decoded, in Go's words; what is null is taken away. */
export function metadataProblem(metadata: JsonObject): string | undefined {
  for (const [field, value] of Object.entries(metadata)) {
    const type = fieldTypes[field]
    if (value === null) delete metadata[field]
    else if (type !== undefined) {
      const problem = problemOf(field, value, type)
      if (problem !== undefined) return problem
    }
  }
  for (const field of ['labels', 'annotations'])
    for (const [key, value] of Object.entries(isObject(metadata[field]) ? metadata[field] : {}))
      if (value === null) (metadata[field] as JsonObject)[key] = ''
  return undefined
}

function problemOf(field: string, value: unknown, type: (typeof fieldTypes)[string]): string | undefined {
  const mismatch = (found: unknown, wanted: string): string =>
    `json: cannot unmarshal ${goKind(found)} into Go struct field ObjectMeta.${field} of type ${wanted}`
  if (type === 'string') return typeof value === 'string' ? undefined : mismatch(value, 'string')
  if (type === 'int64') return Number.isInteger(value) ? undefined : mismatch(value, 'int64')
  if (type === 'time') return isTime(value) ? undefined : timeProblem(value)
  if (type === 'map') {
    if (!isObject(value)) return mismatch(value, 'map[string]string')
    const other = Object.values(value).find((each) => typeof each !== 'string' && each !== null)
    return other === undefined ? undefined : mismatch(other, 'string')
  }
  if (!Array.isArray(value)) return mismatch(value, '[]string')
  const isWanted = type === 'texts' ? (each: unknown) => typeof each === 'string' : isObject
  const stranger = value.find((each) => !isWanted(each))
  return stranger === undefined ? undefined : mismatch(stranger, type === 'texts' ? 'string' : 'object')
}

const isTime = (value: unknown): boolean => typeof value === 'string' && !Number.isNaN(Date.parse(value))

function timeProblem(value: unknown): string {
  const quoted = JSON.stringify(value)
  return `parsing time ${quoted} as "2006-01-02T15:04:05Z07:00": cannot parse ${quoted} as "2006"`
}

function goKind(value: unknown): string {
  if (Array.isArray(value)) return 'array'
  return typeof value === 'boolean' ? 'bool' : typeof value
}

/** Drops what is no field of metadata and returns its paths. */
export function pruneMetadata(metadata: JsonObject): string[] {
  const unknown = Object.keys(metadata).filter((field) => !Object.hasOwn(fieldTypes, field))
  for (const field of unknown) delete metadata[field]
  return unknown.map((field) => `metadata.${field}`)
}

/** Names of roles may have colons; all others are names of hosts. */
export function metadataIssues(object: ApiObject, isPathName: boolean, live?: ApiObject): FieldIssue[] {
  const { name, generateName, labels = {}, annotations = {}, finalizers = [] } = object.metadata
  const isName = isPathName ? (text: string) => !/[/%]/.test(text) && !/^\.\.?$/.test(text) : isSubdomain
  const issues: FieldIssue[] = []
  if (generateName && !isName(generateName.replace(/[-.]$/, '')))
    issues.push(wrong('metadata.generateName', generateName, whyNoName(generateName)))
  if (!name) issues.push(missing('metadata.name', ': name or generateName is required'))
  else if (!isName(name)) issues.push(wrong('metadata.name', name, whyNoName(name)))
  for (const [key, value] of Object.entries(labels)) {
    issues.push(...keyIssues('metadata.labels', key))
    issues.push(...labelValueIssues(value).map((message) => wrong('metadata.labels', value, message)))
  }
  for (const key of Object.keys(annotations))
    issues.push(...keyIssues('metadata.annotations', key.toLowerCase(), key))
  if (bytesOf(annotations) > maxAnnotationBytes)
    issues.push({
      field: 'metadata.annotations',
      reason: 'FieldValueTooLong',
      message: `Too long: may not be more than ${maxAnnotationBytes} bytes`,
    })
  for (const each of finalizers) issues.push(...keyIssues('metadata.finalizers', each))
  return [...issues, ...finalizerIssues(finalizers, live), ...ownerIssues(object)]
}

const isSubdomain = (text: string): boolean => text.length <= maxNameLength && subdomain.test(text)

function whyNoName(name: string): string {
  return name.length > maxNameLength ? `must be no more than ${maxNameLength} characters` : subdomainRule
}

function bytesOf(texts: Readonly<Record<string, string>>): number {
  return Object.entries(texts).reduce((sum, [key, value]) => sum + key.length + Buffer.byteLength(value), 0)
}

function keyIssues(field: string, key: string, quoted = key): FieldIssue[] {
  return partIssues(key, nameRule).map((message) => wrong(field, quoted, message))
}

/** What is wrong with a label's key in a selector; sentences as apimachinery has them. */
export function labelKeyIssues(key: string): string[] {
  return partIssues(
    key,
    `a valid label key ${nameRule.replace('name part ', '')} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`,
  )
}

/** `tooManyParts`: the message for a key with more than one slash. */
function partIssues(key: string, tooManyParts: string): string[] {
  const parts = key.split('/')
  if (parts.length > 2) return [tooManyParts]
  const [prefix, name = ''] = parts.length === 1 ? [undefined, parts[0]] : parts
  const issues: string[] = []
  if (prefix !== undefined && !subdomain.test(prefix)) issues.push(`prefix part ${subdomainRule}`)
  if (name.length > maxPartLength) issues.push(`name part must be no more than ${maxPartLength} bytes`)
  if (!qualifiedPart.test(name)) issues.push(nameRule)
  return issues
}

/** What is wrong with a label's value. */
export function labelValueIssues(value: string): string[] {
  const issues: string[] = []
  if (value.length > maxPartLength) issues.push(`must be no more than ${maxPartLength} bytes`)
  if (!labelValue.test(value)) issues.push(valueRule)
  return issues
}

function finalizerIssues(finalizers: readonly string[], live: ApiObject | undefined): FieldIssue[] {
  const field = 'metadata.finalizers'
  const issues: FieldIssue[] = []
  if (finalizers.includes('orphan') && finalizers.includes('foregroundDeletion'))
    issues.push(wrong(field, finalizers, 'finalizer orphan and foregroundDeletion cannot be both set'))
  if (live?.metadata.deletionTimestamp === undefined) return issues
  const added = finalizers.filter((each) => !live.metadata.finalizers?.includes(each))
  if (added.length > 0)
    issues.push(
      forbidden(
        field,
        `no new finalizers can be added if the object is being deleted, found new finalizers []string{${added.map((each) => JSON.stringify(each)).join(', ')}}`,
      ),
    )
  return issues
}

function ownerIssues({ metadata: { ownerReferences = [] } }: ApiObject): FieldIssue[] {
  const field = 'metadata.ownerReferences'
  const issues = ownerReferences.flatMap((owner) =>
    (['apiVersion', 'kind', 'name', 'uid'] as const).flatMap((part) =>
      owner[part] ? [] : [wrong(`${field}.${part}`, '', 'must not be empty')],
    ),
  )
  const [first, second] = ownerReferences.filter((owner) => (owner as { controller?: boolean }).controller)
  if (first !== undefined && second !== undefined)
    issues.push(
      wrong(
        field,
        ownerReferences,
        `Only one reference can have Controller set to true. Found "true" in references for ${first.kind}/${first.name} and ${second.kind}/${second.name}`,
      ),
    )
  return issues
}

/** A finalizer without a domain may be somebody else's, too. */
export function finalizerWarnings({ metadata: { finalizers = [] } }: ApiObject): string[] {
  const known = ['orphan', 'foregroundDeletion', 'kubernetes']
  return finalizers
    .filter((each) => !each.includes('/') && !known.includes(each))
    .map(
      (each) =>
        `metadata.finalizers: ${JSON.stringify(each)}: prefer a domain-qualified finalizer name to avoid accidental conflicts with other finalizer writers`,
    )
}

/** The beginning of a name that letters are added to. */
export function generatedBase(generateName: string): string {
  return generateName.slice(0, maxGenerated)
}

/** Metadata that no update may change. */
export function immutableIssues(live: ApiObject, object: ApiObject): FieldIssue[] {
  return (['uid', 'deletionTimestamp'] as const).flatMap((field) => {
    const value = object.metadata[field]
    return value === undefined || value === live.metadata[field]
      ? []
      : [wrong(`metadata.${field}`, value, 'field is immutable')]
  })
}
