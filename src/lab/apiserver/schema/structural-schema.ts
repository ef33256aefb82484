import type { FieldIssue } from '../http/status-error.ts'
import { isObject, type JsonObject } from '../objects/api-object.ts'
import { defaultIssues } from './default-rules.ts'
import { forbidden, missing, unsupported, wrong } from './field-issues.ts'
import { listIssues } from './list-rules.ts'
import type { Schema } from './schema.ts'

/*
 * An API server accepts structural schemas only (Kubernetes, "Specifying a structural schema"), without the parts of OpenAPI that
 * Kubernetes lacks.
 */

const types = ['array', 'boolean', 'integer', 'number', 'object', 'string']
const mapTypes = ['atomic', 'granular']
const junctors = ['allOf', 'anyOf', 'oneOf'] as const
const unsupportedFields = [
  'id',
  '$ref',
  'definitions',
  'dependencies',
  'patternProperties',
  'additionalItems',
]
const implicit =
  'must not specify anything other than name and generateName, but metadata is implicitly specified'

/** The fields that allOf, anyOf, oneOf and not must not contain, with the API server's message. */
const outsideOnly: Readonly<Record<string, string>> = {
  type: 'must be empty to be structural',
  description: 'must be empty to be structural',
  title: 'must be empty to be structural',
  default: 'must be undefined to be structural',
  nullable: 'must be false to be structural',
  additionalProperties: 'must be undefined to be structural',
  'x-kubernetes-validations': 'must be empty to be structural',
  'x-kubernetes-preserve-unknown-fields': 'must be false to be structural',
  'x-kubernetes-embedded-resource': 'must be false to be structural',
  'x-kubernetes-list-type': 'must be undefined to be structural',
  'x-kubernetes-map-type': 'must be undefined to be structural',
}

export function structuralIssues(root: JsonObject, field: string): FieldIssue[] {
  const issues = [...rootIssues(root, field), ...schemaIssues(root, field, 'root')]
  return issues.length > 0 ? issues : defaultIssues(root as Schema, field)
}

function rootIssues({ additionalProperties, properties, type }: JsonObject, field: string): FieldIssue[] {
  const issues: FieldIssue[] = []
  if (type !== undefined && type !== '' && type !== 'object')
    issues.push(wrong(`${field}.type`, type, 'must be object at the root'))
  if (additionalProperties !== undefined)
    issues.push(forbidden(`${field}.additionalProperties`, 'must not be used at the root'))
  const { metadata, apiVersion, kind } = isObject(properties) ? properties : {}
  for (const [name, schema] of Object.entries({ apiVersion, kind })) {
    const at = `${field}.properties[${name}]`
    if (!isObject(schema)) continue
    if (schema.type !== 'string') issues.push(wrong(`${at}.type`, schema.type, 'must be string'))
    if (schema.default !== undefined)
      issues.push(forbidden(`${at}.default`, `must not be set in top-level ${name}`))
  }
  if (isObject(metadata)) issues.push(...metadataIssues(metadata, `${field}.properties[metadata]`))
  return issues
}

/** An API server knows what metadata is: a definition may only narrow an object's name. */
function metadataIssues(metadata: JsonObject, field: string): FieldIssue[] {
  const { type, properties, default: preset, ...more } = metadata
  if (preset !== undefined) return [forbidden(`${field}.default`, 'must not be set in top-level metadata')]
  if (type !== 'object') return [wrong(`${field}.type`, type, 'must be object')]
  const names = Object.keys(isObject(properties) ? properties : {})
  if (Object.keys(more).length === 0 && names.every((name) => /^(name|generateName)$/.test(name))) return []
  return [forbidden(field, implicit)]
}

type Where = 'root' | 'object fields' | 'array items' | 'additional properties'

function schemaIssues(schema: JsonObject, field: string, where: Where): FieldIssue[] {
  const below: [string, unknown, Where][] = [
    ...Object.entries(isObject(schema.properties) ? schema.properties : {}).map(
      ([name, property]): [string, unknown, Where] => [`properties[${name}]`, property, 'object fields'],
    ),
    ['items', schema.items, 'array items'],
    ['additionalProperties', schema.additionalProperties, 'additional properties'],
  ]
  return [
    ...typeIssues(schema, field, where),
    ...unsupportedIssues(schema, field),
    ...extensionIssues(schema, field),
    ...listIssues(schema, field),
    ...junctorIssues(schema, field),
    ...below.flatMap(([name, part, place]) =>
      isObject(part) ? schemaIssues(part, `${field}.${name}`, place) : [],
    ),
  ]
}

function typeIssues(schema: JsonObject, field: string, where: Where): FieldIssue[] {
  const {
    type,
    'x-kubernetes-int-or-string': isEither,
    'x-kubernetes-preserve-unknown-fields': keeps,
  } = schema
  const at = `${field}.type`
  if (type === undefined || type === '') {
    if (schema.$ref !== undefined) return []
    if (where !== 'root' && (isEither === true || keeps === true)) return []
    return [
      missing(
        at,
        where === 'root' ? ': must not be empty at the root' : `: must not be empty for specified ${where}`,
      ),
    ]
  }
  const issues = types.includes(String(type)) ? [] : [unsupported(at, type, types)]
  if (type === 'null')
    issues.push(forbidden(at, 'type cannot be set to null, use nullable as an alternative'))
  return issues
}

function unsupportedIssues(schema: JsonObject, field: string): FieldIssue[] {
  const issues = unsupportedFields
    .filter((name) => schema[name] !== undefined)
    .map((name) => forbidden(`${field}.${name}`, `${name} is not supported`))
  if (schema.$schema !== undefined) issues.push(wrong(field, '', "OpenAPIV3Schema 'schema' is not supported"))
  if (schema.uniqueItems === true)
    issues.push(
      forbidden(
        `${field}.uniqueItems`,
        'uniqueItems cannot be set to true since the runtime complexity becomes quadratic',
      ),
    )
  if (Array.isArray(schema.items))
    issues.push(forbidden(`${field}.items`, 'items must be a schema object and not an array'))
  else if (schema.type === 'array' && schema.items === undefined)
    issues.push(missing(`${field}.items`, ': must be specified'))
  if (isObject(schema.properties) && schema.additionalProperties && Object.keys(schema.properties).length > 0)
    issues.push(
      forbidden(`${field}.additionalProperties`, 'additionalProperties and properties are mutual exclusive'),
    )
  const problem = patternProblem(schema.pattern)
  if (problem !== undefined)
    issues.push(
      wrong(`${field}.pattern`, schema.pattern, `must be a valid regular expression, but isn't: ${problem}`),
    )
  return issues
}

/** What RE2 does not know although JavaScript does, and what neither can read. */
function patternProblem(pattern: unknown): string | undefined {
  if (typeof pattern !== 'string') return undefined
  const perl = /\(\?(?:=|!|<=|<!)/.exec(pattern)?.[0]
  if (perl !== undefined) return `error parsing regexp: invalid or unsupported Perl syntax: \`${perl}\``
  try {
    return new RegExp(pattern).source === '' ? '' : undefined
  } catch (error) {
    if (/Unterminated group/.test(String(error)))
      return `error parsing regexp: missing closing ): \`${pattern}\``
    return `error parsing regexp: ${error instanceof Error ? error.message : error}`
  }
}

function extensionIssues(schema: JsonObject, field: string): FieldIssue[] {
  const { type, properties, 'x-kubernetes-map-type': mapType } = schema
  const keeps = schema['x-kubernetes-preserve-unknown-fields']
  const issues: FieldIssue[] = []
  if (keeps === false)
    issues.push(wrong(`${field}.x-kubernetes-preserve-unknown-fields`, keeps, 'must be true or undefined'))
  if (schema['x-kubernetes-embedded-resource'] === true) {
    if (properties === undefined && keeps !== true)
      issues.push(
        missing(
          `${field}.properties`,
          ': must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields',
        ),
      )
    if (type !== 'object')
      issues.push(wrong(`${field}.type`, type, 'must be object if x-kubernetes-embedded-resource is true'))
  }
  if (mapType === undefined) return issues
  if (!mapTypes.includes(String(mapType)))
    issues.push(unsupported(`${field}.x-kubernetes-map-type`, mapType, mapTypes))
  if (type !== 'object')
    issues.push(wrong(`${field}.type`, type, 'must be object if x-kubernetes-map-type is specified'))
  return issues
}

function junctorIssues(schema: JsonObject, field: string): FieldIssue[] {
  const parts = junctors.flatMap((name) =>
    (Array.isArray(schema[name]) ? schema[name] : []).map(
      (part: unknown, index: number): [string, unknown] => [`${field}.${name}[${index}]`, part],
    ),
  )
  if (isObject(schema.not)) parts.push([`${field}.not`, schema.not])
  return parts.flatMap(([at, part]) => (isObject(part) ? insideIssues(part, at, schema) : []))
}

function insideIssues(part: JsonObject, field: string, outside: JsonObject): FieldIssue[] {
  // Kubernetes lets one form pass: anyOf of integer and string, beside x-kubernetes-int-or-string.
  const isEither = outside['x-kubernetes-int-or-string'] === true
  const own = Object.entries(outsideOnly)
    .filter(([name]) => part[name] !== undefined && part[name] !== false && !(isEither && name === 'type'))
    .map(([name, why]) => forbidden(`${field}.${name}`, why))
  const below = Object.entries(isObject(part.properties) ? part.properties : {}).flatMap(
    ([name, property]) =>
      isObject(property) ? insideIssues(property, `${field}.properties[${name}]`, {}) : [],
  )
  return [...own, ...below, ...junctorIssues(part, field)]
}
