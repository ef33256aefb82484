import type { FieldIssue } from '../http/status-error.ts'
import { isObject, type JsonObject } from '../objects/api-object.ts'
import { missing, unsupported, wrong } from './field-issues.ts'

const listTypes = ['atomic', 'set', 'map']

/** Checks that the schema of a list defines how its items are identified. */
export function listIssues(schema: JsonObject, field: string): FieldIssue[] {
  const { type, 'x-kubernetes-list-type': listType } = schema
  const keysField = 'x-kubernetes-list-map-keys'
  const keys = (schema[keysField] ?? []) as string[]
  const items = isObject(schema.items) ? schema.items : {}
  const issues: FieldIssue[] = []
  if (listType !== undefined) {
    if (type !== 'array')
      issues.push(wrong(`${field}.type`, type, 'must be array if x-kubernetes-list-type is specified'))
    if (!listTypes.includes(String(listType)))
      issues.push(unsupported(`${field}.x-kubernetes-list-type`, listType, listTypes))
  }
  if (keys.length > 0 && listType !== 'map')
    issues.push(
      wrong(
        `${field}.x-kubernetes-list-type`,
        listType,
        'must be map if x-kubernetes-list-map-keys is non-empty',
      ),
    )
  if (listType === 'set' && items.type === 'object' && items['x-kubernetes-map-type'] !== 'atomic')
    issues.push(
      wrong(
        `${field}.items.x-kubernetes-map-type`,
        items['x-kubernetes-map-type'] ?? null,
        'must be atomic as item of a list with x-kubernetes-list-type=set',
      ),
    )
  if (listType !== 'map') return issues
  if (keys.length === 0)
    issues.push(missing(`${field}.${keysField}`, ': must not be empty if x-kubernetes-list-type is map'))
  return [...issues, ...keyIssues(keys, items, field, keysField)]
}

function keyIssues(
  keys: readonly string[],
  items: JsonObject,
  field: string,
  keysField: string,
): FieldIssue[] {
  if (items.type !== 'object')
    return [
      wrong(
        `${field}.items.type`,
        items.type,
        "must be object if parent array's x-kubernetes-list-type is map",
      ),
    ]
  const properties = isObject(items.properties) ? items.properties : {}
  const required = Array.isArray(items.required) ? items.required : []
  const issues: FieldIssue[] = []
  if (new Set(keys).size < keys.length)
    issues.push(wrong(`${field}.${keysField}`, keys, 'must not contain duplicate entries'))
  if (keys.some((key) => properties[key] === undefined))
    issues.push(wrong(`${field}.${keysField}`, keys, 'entries must all be names of item properties'))
  for (const key of new Set(keys)) {
    const property = properties[key]
    const at = `${field}.items.properties[${key}]`
    if (!isObject(property)) continue
    if (property.type === 'object' || property.type === 'array')
      issues.push(
        wrong(
          `${at}.type`,
          property.type,
          "must be a scalar type if parent array's x-kubernetes-list-type is map",
        ),
      )
    else if (property.default === undefined && !required.includes(key))
      issues.push(
        missing(
          `${at}.default`,
          ': this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property',
        ),
      )
  }
  return issues
}
