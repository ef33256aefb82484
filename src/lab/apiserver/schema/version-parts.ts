import type { FieldIssue } from '../http/status-error.ts'
import { isEqual, isObject, type JsonObject } from '../objects/api-object.ts'
import { missing, tooMany, wrong } from './field-issues.ts'
import { structuralIssues } from './structural-schema.ts'
import { validationRuleIssues } from './validation-rules.ts'

const columnTypes = 'must be one of boolean,date,integer,number,string'
const columnFormats = ['byte', 'date', 'date-time', 'double', 'float', 'int32', 'int64', 'password']
const maxSelectableFields = 8

/** What is wrong with the schemas, columns, scales and selectable fields of a definition's versions. */
export const versionPartIssues = (versions: readonly JsonObject[]): FieldIssue[] => [
  ...schemasIssues(versions),
  ...partIssues(versions, 'additionalPrinterColumns', columnsIssues),
  ...partIssues(versions, 'subresources', scaleIssues),
  ...selectableIssues(versions),
]

/** A part that is equal in all versions is named as if it were the definition's. */
function partIssues(
  versions: readonly JsonObject[],
  part: string,
  issuesOf: (value: unknown, field: string) => FieldIssue[],
): FieldIssue[] {
  const isShared = versions.every((version) => isEqual(version[part], versions[0]?.[part]))
  if (isShared) return versions.length === 0 ? [] : issuesOf(versions[0]?.[part], `spec.${part}`)
  return versions.flatMap((version, index) => issuesOf(version[part], `spec.versions[${index}].${part}`))
}

function schemasIssues(versions: readonly JsonObject[]): FieldIssue[] {
  const schemas = versions.map(({ schema }) => (isObject(schema) ? schema.openAPIV3Schema : undefined))
  const isShared = schemas.every((schema) => isEqual(schema, schemas[0]))
  const absent = schemas.flatMap((schema, index) =>
    isObject(schema) ? [] : [missing(`spec.versions[${index}].schema.openAPIV3Schema`)],
  )
  return [
    ...absent,
    ...schemas.flatMap((schema, index) => {
      if (!isObject(schema) || (isShared && index > 0)) return []
      const field = isShared
        ? 'spec.validation.openAPIV3Schema'
        : `spec.versions[${index}].schema.openAPIV3Schema`
      const issues = structuralIssues(schema, field)
      return issues.length > 0 ? issues : validationRuleIssues(schema, field)
    }),
  ]
}

function columnsIssues(columns: unknown, field: string): FieldIssue[] {
  return ((columns ?? []) as JsonObject[]).flatMap(({ name, type, format, jsonPath }, index) => {
    const at = `${field}[${index}]`
    const issues: FieldIssue[] = []
    if (!name) issues.push(missing(`${at}.name`))
    if (!type) issues.push(missing(`${at}.type`, `: ${columnTypes}`))
    else if (!columnTypes.split(/[ ,]/).slice(4).includes(String(type)))
      issues.push(wrong(`${at}.type`, type, columnTypes))
    if (format && !columnFormats.includes(String(format)))
      issues.push(wrong(`${at}.format`, format, `must be one of ${columnFormats.join()}`))
    if (!jsonPath) issues.push(missing(`${at}.JSONPath`))
    else if (!String(jsonPath).startsWith('.'))
      issues.push(wrong(`${at}.JSONPath`, jsonPath, 'must be a simple json path starting with .'))
    return issues
  })
}

function scaleIssues(subresources: unknown, field: string): FieldIssue[] {
  const scale = isObject(subresources) ? subresources.scale : undefined
  if (!isObject(scale)) return []
  const at = `${field}.scale`
  const { labelSelectorPath: labels } = scale
  const pathIssues = (name: string, under: string): FieldIssue[] => {
    const path = scale[name]
    if (!path) return [missing(`${at}.${name}`)]
    return String(path).startsWith(`${under}.`)
      ? []
      : [wrong(`${at}.${name}`, path, `should be a json path under ${under}`)]
  }
  return [
    ...pathIssues('specReplicasPath', '.spec'),
    ...pathIssues('statusReplicasPath', '.status'),
    ...(labels && !/^\.(spec|status)\./.test(String(labels))
      ? [wrong(`${at}.labelSelectorPath`, labels, 'should be a json path under either .spec or .status')]
      : []),
  ]
}

function selectableIssues(versions: readonly JsonObject[]): FieldIssue[] {
  const schema = isObject(versions[0]?.schema) ? versions[0].schema.openAPIV3Schema : undefined
  return partIssues(versions, 'selectableFields', (list, field) => {
    const fields = (list ?? []) as JsonObject[]
    const paths = fields.map(({ jsonPath }) => jsonPath)
    return [
      ...(fields.length > maxSelectableFields ? [tooMany(field, fields.length, maxSelectableFields)] : []),
      ...paths.flatMap((path, index) => {
        const at = `${field}[${index}].jsonPath`
        if (!path) return [missing(at)]
        if (paths.indexOf(path) < index)
          return [
            { field: at, reason: 'FieldValueDuplicate', message: `Duplicate value: ${JSON.stringify(path)}` },
          ]
        const why = selectableProblem(String(path), schema)
        return why === undefined ? [] : [wrong(at, path, why)]
      }),
    ]
  })
}

function selectableProblem(path: string, schema: unknown): string | undefined {
  if (!path.startsWith('.')) return `is an invalid path: expected [ or . but got: ${path.split('.')[0]}`
  let at: unknown = schema
  for (const name of path.slice(1).split('.'))
    at = isObject(at) && isObject(at.properties) ? at.properties[name] : undefined
  if (!isObject(at)) return 'is an invalid path: does not refer to a valid field'
  return /^(string|boolean|integer)$/.test(String(at.type))
    ? undefined
    : 'must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.'
}
