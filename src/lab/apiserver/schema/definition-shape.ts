import { isObject, type JsonObject } from '../objects/api-object.ts'

/*
 * The fields of a CustomResourceDefinition as Go's structs have them. What has another type cannot be decoded, and what is no
 * field is dropped, with a warning.
 */

interface Struct {
  readonly name: string
  readonly fields: Readonly<Record<string, GoType>>
}

type GoType =
  | { readonly kind: 'string' | 'bool' | 'int32' | 'int64' | 'float64' | 'any' }
  | { readonly kind: 'list' | 'map'; readonly of: () => GoType; readonly name?: string }
  | { readonly kind: 'struct'; readonly struct: () => Struct }
  /** A schema or, by name, something else that may stand in its place. */
  | { readonly kind: 'schemaOr'; readonly other: 'list' | 'bool' | 'texts' }

const text: GoType = { kind: 'string' }
const bool: GoType = { kind: 'bool' }
const int64: GoType = { kind: 'int64' }
const float64: GoType = { kind: 'float64' }
const any: GoType = { kind: 'any' }
const listOf = (of: GoType, name?: string): GoType => ({
  kind: 'list',
  of: () => of,
  ...(name === undefined ? {} : { name }),
})
const texts = listOf(text, 'string')
const struct = (name: string, fields: Struct['fields']): GoType => ({
  kind: 'struct',
  struct: () => ({ name, fields }),
})
const schema: GoType = { kind: 'struct', struct: () => schemaStruct }
const schemas: GoType = { kind: 'list', of: () => schema }
const schemasByName: GoType = { kind: 'map', of: () => schema }

const validationRule = struct('ValidationRule', {
  rule: text,
  message: text,
  messageExpression: text,
  reason: text,
  fieldPath: text,
  optionalOldSelf: bool,
})

const schemaStruct: Struct = {
  name: 'JSONSchemaProps',
  fields: {
    id: text,
    $schema: text,
    $ref: text,
    description: text,
    type: text,
    format: text,
    title: text,
    default: any,
    maximum: float64,
    exclusiveMaximum: bool,
    minimum: float64,
    exclusiveMinimum: bool,
    maxLength: int64,
    minLength: int64,
    pattern: text,
    maxItems: int64,
    minItems: int64,
    uniqueItems: bool,
    multipleOf: float64,
    enum: listOf(any),
    maxProperties: int64,
    minProperties: int64,
    required: texts,
    items: { kind: 'schemaOr', other: 'list' },
    allOf: schemas,
    oneOf: schemas,
    anyOf: schemas,
    not: schema,
    properties: schemasByName,
    additionalProperties: { kind: 'schemaOr', other: 'bool' },
    patternProperties: schemasByName,
    dependencies: { kind: 'map', of: () => ({ kind: 'schemaOr', other: 'texts' }) },
    additionalItems: { kind: 'schemaOr', other: 'bool' },
    definitions: schemasByName,
    externalDocs: struct('ExternalDocumentation', { description: text, url: text }),
    example: any,
    nullable: bool,
    'x-kubernetes-preserve-unknown-fields': bool,
    'x-kubernetes-embedded-resource': bool,
    'x-kubernetes-int-or-string': bool,
    'x-kubernetes-list-map-keys': texts,
    'x-kubernetes-list-type': text,
    'x-kubernetes-map-type': text,
    'x-kubernetes-validations': { kind: 'list', of: () => validationRule, name: 'v1.ValidationRule' },
  },
}

const column = struct('CustomResourceColumnDefinition', {
  name: text,
  type: text,
  format: text,
  description: text,
  priority: { kind: 'int32' },
  jsonPath: text,
})
const version = struct('CustomResourceDefinitionVersion', {
  name: text,
  served: bool,
  storage: bool,
  deprecated: bool,
  deprecationWarning: text,
  schema: struct('CustomResourceValidation', { openAPIV3Schema: schema }),
  subresources: struct('CustomResourceSubresources', {
    status: struct('CustomResourceSubresourceStatus', {}),
    scale: struct('CustomResourceSubresourceScale', {
      specReplicasPath: text,
      statusReplicasPath: text,
      labelSelectorPath: text,
    }),
  }),
  additionalPrinterColumns: listOf(column),
  selectableFields: listOf(struct('SelectableField', { jsonPath: text })),
})
const spec = struct('CustomResourceDefinitionSpec', {
  group: text,
  names: struct('CustomResourceDefinitionNames', {
    plural: text,
    singular: text,
    shortNames: texts,
    kind: text,
    listKind: text,
    categories: texts,
  }),
  scope: text,
  versions: listOf(version),
  conversion: struct('CustomResourceConversion', {
    strategy: text,
    webhook: struct('WebhookConversion', { clientConfig: any, conversionReviewVersions: texts }),
  }),
  preserveUnknownFields: bool,
})

interface Decoded {
  /** Paths of what is no field of a definition. They are gone from it now. */
  readonly unknown: readonly string[]
  /** Why it cannot be decoded, in Go's words. */
  readonly problem: string | undefined
}

export function decodeDefinition(definition: { spec?: JsonObject }): Decoded {
  const unknown: string[] = []
  const problems: string[] = []
  if (definition.spec !== undefined)
    decode(definition.spec, spec, { path: 'spec', fields: 'spec', owner: '' }, unknown, problems)
  return { unknown, problem: problems[0] }
}

/** `fields`: the names of fields alone, as Go's messages have them. */
interface Place {
  readonly path: string
  readonly fields: string
  readonly owner: string
}

function decode(value: unknown, type: GoType, place: Place, unknown: string[], problems: string[]): void {
  if (value === null || value === undefined || type.kind === 'any') return
  if (type.kind === 'schemaOr') {
    const isOther = type.other === 'bool' ? typeof value === 'boolean' : Array.isArray(value)
    if (!isOther) decode(value, schema, place, unknown, problems)
  } else if (type.kind === 'list') {
    if (!Array.isArray(value)) problems.push(mismatch(value, place, listName(type)))
    else
      for (const [index, item] of value.entries())
        decode(item, type.of(), { ...place, path: `${place.path}[${index}]` }, unknown, problems)
  } else if (type.kind === 'map') {
    if (!isObject(value)) problems.push(mismatch(value, place, 'map'))
    else
      for (const [key, item] of Object.entries(value))
        decode(item, type.of(), { ...place, path: `${place.path}.${key}` }, unknown, problems)
  } else if (type.kind === 'struct') decodeStruct(value, type.struct(), place, unknown, problems)
  else if (!isOfKind(value, type.kind)) problems.push(mismatch(value, place, type.kind))
}

function decodeStruct(
  value: unknown,
  { name, fields }: Struct,
  place: Place,
  unknown: string[],
  problems: string[],
): void {
  if (!isObject(value)) {
    problems.push(mismatch(value, place, `v1.${name}`))
    return
  }
  for (const [field, below] of Object.entries(value)) {
    const type = Object.hasOwn(fields, field) ? fields[field] : undefined
    const path = `${place.path}.${field}`
    if (type !== undefined)
      decode(below, type, { path, fields: `${place.fields}.${field}`, owner: name }, unknown, problems)
    else {
      unknown.push(path)
      delete value[field]
    }
  }
}

function isOfKind(value: unknown, kind: string): boolean {
  if (kind === 'string') return typeof value === 'string'
  if (kind === 'bool') return typeof value === 'boolean'
  return typeof value === 'number' && (kind === 'float64' || Number.isInteger(value))
}

function listName(type: Extract<GoType, { kind: 'list' | 'map' }>): string {
  return type.name === 'v1.ValidationRule' ? 'v1.ValidationRules' : `[]${type.name ?? 'interface {}'}`
}

function mismatch(value: unknown, { fields, owner }: Place, wanted: string): string {
  const found = Array.isArray(value) ? 'array' : typeof value === 'boolean' ? 'bool' : typeof value
  return `json: cannot unmarshal ${found} into Go struct field ${owner}.${fields} of type ${wanted}`
}
