import type { FieldIssue } from '../http/status-error.ts'

export const wrong = (field: string, value: unknown, why: string): FieldIssue => ({
  field,
  reason: 'FieldValueInvalid',
  message: `Invalid value: ${JSON.stringify(value)}: ${why}`,
})
export const missing = (field: string, why = ''): FieldIssue => ({
  field,
  reason: 'FieldValueRequired',
  message: `Required value${why}`,
})
export const forbidden = (field: string, why: string): FieldIssue => ({
  field,
  reason: 'FieldValueForbidden',
  message: `Forbidden: ${why}`,
})
export const unsupported = (field: string, value: unknown, supported: readonly string[]): FieldIssue => ({
  field,
  reason: 'FieldValueNotSupported',
  message: `Unsupported value: ${JSON.stringify(value)}: supported values: ${supported
    .map((each) => JSON.stringify(each))
    .join(', ')}`,
})
export const tooMany = (field: string, count: number, limit: number): FieldIssue => ({
  field,
  reason: 'FieldValueTooMany',
  message: `Too many: ${count}: must have at most ${limit} items`,
})
export const isList = (value: unknown, has: (item: unknown) => boolean): boolean =>
  Array.isArray(value) && value.every(has)
export const isText = (value: unknown): boolean => typeof value === 'string'
