import type { FieldIssue } from '../http/status-error.ts'
import { isObject } from '../objects/api-object.ts'
import { wrong } from './field-issues.ts'
import { applyDefaults, prune, type Schema, validateDefault } from './schema.ts'

/** A default must be valid by the schema that it belongs to. */
export function defaultIssues(schema: Schema, field: string): FieldIssue[] {
  const { properties = {}, items, additionalProperties } = schema
  const own = schema.default === undefined ? [] : presetIssues(schema, `${field}.default`)
  return [
    ...own,
    ...Object.entries(properties).flatMap(([name, below]) =>
      defaultIssues(below, `${field}.properties[${name}]`),
    ),
    ...(items === undefined ? [] : defaultIssues(items, `${field}.items`)),
    ...(isObject(additionalProperties)
      ? defaultIssues(additionalProperties as Schema, `${field}.additionalProperties`)
      : []),
  ]
}

function presetIssues(schema: Schema, field: string): FieldIssue[] {
  const preset: unknown = structuredClone(schema.default)
  if (preset === null) return []
  const holder = { value: preset } as never
  if (prune(holder, { type: 'object', properties: { value: schema } }).length > 0)
    return [wrong(field, schema.default, 'must not have unknown fields')]
  applyDefaults(preset, schema)
  return validateDefault(preset, schema).map((issue) => ({
    ...issue,
    field: `${field}${issue.field === '' || issue.field === '<nil>' ? '' : issue.field}`,
  }))
}
