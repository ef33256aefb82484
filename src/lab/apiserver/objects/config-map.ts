import type { FieldIssue } from '../http/status-error.ts'
import { forbidden } from '../schema/field-issues.ts'
import { type ApiObject, isEqual, isObject, type JsonObject } from './api-object.ts'

const fields = ['apiVersion', 'kind', 'metadata', 'data', 'binaryData', 'immutable']
const maps = ['data', 'binaryData']

/** Drops what is no field of a ConfigMap. What is empty is left out, and null is an empty text, as in Go. */
export function decodeConfigMap(object: ApiObject): { unknown: string[]; problem: string | undefined } {
  const unknown = Object.keys(object).filter((field) => !fields.includes(field))
  for (const field of unknown) delete object[field]
  if (object.immutable === null) delete object.immutable
  for (const field of maps) {
    const value = object[field]
    if (value === null || (isObject(value) && Object.keys(value).length === 0)) delete object[field]
    else if (isObject(value)) {
      const other = Object.values(value).find((each) => typeof each !== 'string' && each !== null)
      if (other !== undefined)
        return {
          unknown,
          problem: `json: cannot unmarshal ${typeof other} into Go struct field ConfigMap.${field} of type string`,
        }
      for (const [key, each] of Object.entries(value)) if (each === null) value[key] = ''
    }
  }
  return { unknown, problem: undefined }
}

/** Why an applied ConfigMap has no type; undefined where it has one. */
export function undeclaredField(object: ApiObject): string | undefined {
  const unknown = Object.keys(object).find((field) => !fields.includes(field))
  if (unknown !== undefined) return `.${unknown}: field not declared in schema`
  for (const field of maps)
    for (const [key, value] of Object.entries((object[field] ?? {}) as JsonObject))
      if (value !== null && typeof value !== 'string')
        return `.${field}.${key}: expected string, got &value.valueUnstructured{Value:${JSON.stringify(value)}}`
  return undefined
}

/** What is set for good. */
export function configMapChangeIssues(live: ApiObject, object: ApiObject): FieldIssue[] {
  if (live.immutable !== true) return []
  const why = 'field is immutable when `immutable` is set'
  return [
    ...(object.immutable === true ? [] : [forbidden('immutable', why)]),
    ...maps.filter((field) => !isEqual(live[field], object[field])).map((field) => forbidden(field, why)),
  ]
}
