import type { FieldIssue } from '../http/status-error.ts'
import { type ApiObject, isEqual, isObject, type JsonObject } from '../objects/api-object.ts'
import { keyOfItem, listTypeOf } from '../objects/ownership/list-merging.ts'
import { checkRules } from './cel.ts'

/** A structural schema, as a CustomResourceDefinition has it: the parts of OpenAPI that Kubernetes allows. */
export interface Schema {
  readonly type?: string
  readonly properties?: Readonly<Record<string, Schema>>
  readonly additionalProperties?: Schema | boolean
  readonly items?: Schema
  readonly required?: readonly string[]
  readonly enum?: readonly unknown[]
  readonly default?: unknown
  readonly nullable?: boolean
  readonly minimum?: number
  readonly maximum?: number
  readonly exclusiveMinimum?: boolean
  readonly exclusiveMaximum?: boolean
  readonly minLength?: number
  readonly maxLength?: number
  readonly pattern?: string
  readonly minItems?: number
  readonly maxItems?: number
  readonly minProperties?: number
  readonly maxProperties?: number
  readonly 'x-kubernetes-preserve-unknown-fields'?: boolean
  readonly 'x-kubernetes-int-or-string'?: boolean
  readonly 'x-kubernetes-list-type'?: string
  readonly 'x-kubernetes-list-map-keys'?: readonly string[]
  readonly 'x-kubernetes-map-type'?: string
  readonly 'x-kubernetes-validations'?: readonly Rule[]
}

export interface Rule {
  readonly rule: string
  readonly message?: string
  readonly messageExpression?: string
  readonly reason?: string
  readonly fieldPath?: string
  readonly optionalOldSelf?: boolean
}

const rootFields = ['apiVersion', 'kind', 'metadata']

/** Removes what the schema does not know. Returns the paths of what was removed. */
export function prune(object: ApiObject, schema: Schema): string[] {
  const removed: string[] = []
  pruneValue(object, schema, '', removed, true)
  return removed
}

/** What a level does not know is named before what the levels below it do not know. */
function pruneValue(value: unknown, schema: Schema, path: string, removed: string[], isRoot = false): void {
  if (Array.isArray(value) && schema.items !== undefined)
    for (const [index, item] of value.entries()) pruneValue(item, schema.items, `${path}[${index}]`, removed)
  if (!isObject(value)) return
  const isKept = schema.additionalProperties === true || schema['x-kubernetes-preserve-unknown-fields']
  const below: [string, unknown, Schema][] = []
  for (const field of Object.keys(value)) {
    if (isRoot && rootFields.includes(field)) continue
    const known = schema.properties?.[field] ?? schema.additionalProperties
    const at = path === '' ? field : `${path}.${field}`
    if (isObject(known)) below.push([at, value[field], known as Schema])
    else if (!isKept) {
      delete value[field]
      removed.push(at)
    }
  }
  for (const [at, part, known] of below) pruneValue(part, known, at, removed)
}

/** Fills in defaults; null counts as absent where the schema does not allow it. */
export function applyDefaults(value: unknown, schema: Schema): void {
  if (Array.isArray(value) && schema.items !== undefined)
    for (const item of value) applyDefaults(item, schema.items)
  if (!isObject(value)) return
  for (const [field, below] of Object.entries(schema.properties ?? {})) {
    if (value[field] === null && !below.nullable) delete value[field]
    if (value[field] === undefined && below.default !== undefined)
      value[field] = structuredClone(below.default)
    if (value[field] !== undefined) applyDefaults(value[field], below)
  }
  if (!isObject(schema.additionalProperties)) return
  const values = schema.additionalProperties as Schema
  for (const [field, below] of Object.entries(value))
    if (below === null && !values.nullable) delete value[field]
    else applyDefaults(below, values)
}

/** Mistakes that keep an API server from trying the rules: they could not be evaluated. */
const blocking = /^FieldValue(NotSupported|Required|TooLong|TooMany|TypeInvalid)$/
const untried: FieldIssue = {
  field: '<nil>',
  reason: 'FieldValueInvalid',
  message:
    'Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing errors to complete validation',
}

/** Everything that is wrong, in Kubernetes' words; `before`: what was found of the metadata. */
export function validate(
  object: ApiObject,
  old: ApiObject | undefined,
  schema: Schema,
  before: readonly FieldIssue[] = [],
): FieldIssue[] {
  const issues: FieldIssue[] = [...before]
  for (const [field, below] of Object.entries(schema.properties ?? {}))
    if (!rootFields.includes(field) && object[field] !== undefined)
      validateValue(object[field], below, field, issues)
  for (const field of schema.required ?? []) if (object[field] === undefined) issues.push(required(field))
  if (issues.some(({ reason }) => blocking.test(reason)))
    return hasRules(schema) ? [...issues, untried] : issues
  issues.push(...checkRules(schema['x-kubernetes-validations'] ?? [], object, old, ''))
  for (const [field, below] of Object.entries(schema.properties ?? {}))
    if (!rootFields.includes(field) && object[field] !== undefined)
      checkAllRules(object[field], old?.[field], below, field, issues)
  return issues
}

const withRules = new WeakMap<Schema, boolean>()

function hasRules(schema: Schema): boolean {
  const known = withRules.get(schema)
  if (known !== undefined) return known
  const { items, additionalProperties: values, properties = {} } = schema
  const found =
    (schema['x-kubernetes-validations'] ?? []).length > 0 ||
    Object.values(properties).some(hasRules) ||
    (items !== undefined && hasRules(items)) ||
    (typeof values === 'object' && hasRules(values))
  withRules.set(schema, found)
  return found
}

/** A default, whose field has no name yet. */
export function validateDefault(value: unknown, schema: Schema): FieldIssue[] {
  const issues: FieldIssue[] = []
  validateValue(value, schema, '', issues)
  if (issues.length > 0) return issues
  checkAllRules(value, undefined, schema, '', issues)
  return issues
}

function required(field: string): FieldIssue {
  return { field, reason: 'FieldValueRequired', message: 'Required value' }
}

function wrong(field: string, value: unknown, why: string): FieldIssue {
  return { field, reason: 'FieldValueInvalid', message: `Invalid value: ${JSON.stringify(value)}: ${why}` }
}

function typeOf(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'array'
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number'
  return typeof value
}

function hasType(value: unknown, schema: Schema): boolean {
  const actual = typeOf(value)
  if (schema['x-kubernetes-int-or-string']) return actual === 'integer' || actual === 'string'
  if (schema.type === undefined || (actual === 'null' && schema.nullable)) return true
  return actual === schema.type || (schema.type === 'number' && actual === 'integer')
}

function validateValue(value: unknown, schema: Schema, path: string, issues: FieldIssue[]): void {
  if (!hasType(value, schema)) {
    const wanted = schema['x-kubernetes-int-or-string'] ? 'integer,string' : schema.type
    const message = `Invalid value: "${typeOf(value)}": ${path} in body must be of type ${wanted}: "${typeOf(value)}"`
    issues.push({ field: path, reason: 'FieldValueTypeInvalid', message })
    return
  }
  if (schema.enum !== undefined && !schema.enum.some((each) => isEqual(each, value))) {
    const list = schema.enum.map((each) => JSON.stringify(each)).join(', ')
    const message = `Unsupported value: ${JSON.stringify(value)}: supported values: ${list}`
    issues.push({ field: path, reason: 'FieldValueNotSupported', message })
  }
  if (typeof value === 'number') validateNumber(value, schema, path, issues)
  if (typeof value === 'string') validateText(value, schema, path, issues)
  if (Array.isArray(value)) validateList(value, schema, path, issues)
  if (isObject(value)) validateFields(value, schema, path, issues)
}

function validateNumber(value: number, schema: Schema, path: string, issues: FieldIssue[]): void {
  const { minimum, maximum } = schema
  if (minimum !== undefined && (value < minimum || (schema.exclusiveMinimum && value === minimum)))
    issues.push(wrong(path, value, `${path} in body should be greater than or equal to ${minimum}`))
  if (maximum !== undefined && (value > maximum || (schema.exclusiveMaximum && value === maximum)))
    issues.push(wrong(path, value, `${path} in body should be less than or equal to ${maximum}`))
}

function validateText(value: string, schema: Schema, path: string, issues: FieldIssue[]): void {
  const { minLength, maxLength, pattern } = schema
  if (minLength !== undefined && value.length < minLength)
    issues.push(wrong(path, value, `${path} in body should be at least ${minLength} chars long`))
  if (maxLength !== undefined && value.length > maxLength)
    issues.push({
      field: path,
      reason: 'FieldValueTooLong',
      message: `Too long: may not be more than ${maxLength} bytes`,
    })
  if (pattern !== undefined && !regularExpression(pattern).test(value))
    issues.push(wrong(path, value, `${path} in body should match '${pattern}'`))
}

/** Definitions are written for Go's engine, which lets pass what the strict mode of ours does not, such as `\\-`. */
function regularExpression(pattern: string): RegExp {
  try {
    return new RegExp(pattern, 'u')
  } catch {
    return new RegExp(pattern)
  }
}

function validateList(value: readonly unknown[], schema: Schema, path: string, issues: FieldIssue[]): void {
  if (schema.minItems !== undefined && value.length < schema.minItems)
    issues.push(wrong(path, value.length, `${path} in body should have at least ${schema.minItems} items`))
  if (schema.maxItems !== undefined && value.length > schema.maxItems)
    issues.push({
      field: path,
      reason: 'FieldValueTooMany',
      message: `Too many: ${value.length}: must have at most ${schema.maxItems} items`,
    })
  refuseDuplicates(value, schema, path, issues)
  if (schema.items !== undefined)
    for (const [index, item] of value.entries())
      validateValue(item, schema.items, `${path}[${index}]`, issues)
}

function refuseDuplicates(
  value: readonly unknown[],
  schema: Schema,
  path: string,
  issues: FieldIssue[],
): void {
  const type = listTypeOf(schema)
  if (type.kind === 'atomic') return
  const names = value.map((item) => (type.kind === 'set' ? item : keyOfItem(type, item)))
  for (const [index, name] of names.entries())
    if (name !== undefined && names.findIndex((each) => isEqual(each, name)) < index)
      issues.push({
        field: `${path}[${index}]`,
        reason: 'FieldValueDuplicate',
        message: `Duplicate value: ${JSON.stringify(name)}`,
      })
}

function validateFields(value: JsonObject, schema: Schema, path: string, issues: FieldIssue[]): void {
  const { minProperties, maxProperties } = schema
  const size = Object.keys(value).length
  if (minProperties !== undefined && size < minProperties)
    issues.push(wrong(path, size, `${path} in body should have at least ${minProperties} properties`))
  if (maxProperties !== undefined && size > maxProperties)
    issues.push({
      field: path,
      reason: 'FieldValueTooMany',
      message: `Too many: ${size}: must have at most ${maxProperties} items`,
    })
  for (const field of schema.required ?? [])
    if (value[field] === undefined) issues.push(required(`${path}.${field}`))
  for (const [field, below] of Object.entries(value)) {
    const known = schema.properties?.[field]
    if (known !== undefined) validateValue(below, known, `${path}.${field}`, issues)
    else if (isObject(schema.additionalProperties))
      validateValue(below, schema.additionalProperties as Schema, `${path}.${field}`, issues)
  }
}

function checkAllRules(
  value: unknown,
  old: unknown,
  schema: Schema,
  path: string,
  issues: FieldIssue[],
): void {
  issues.push(...checkRules(schema['x-kubernetes-validations'] ?? [], value, old, path))
  if (Array.isArray(value) && schema.items !== undefined)
    for (const [index, item] of value.entries())
      checkAllRules(item, undefined, schema.items, `${path}[${index}]`, issues)
  if (!isObject(value)) return
  for (const [field, part] of Object.entries(value)) {
    const below = schema.properties?.[field] ?? schema.additionalProperties
    if (isObject(below))
      checkAllRules(part, isObject(old) ? old[field] : undefined, below as Schema, `${path}.${field}`, issues)
  }
}
