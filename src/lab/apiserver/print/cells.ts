import { type ApiObject, isObject, type JsonObject } from '../objects/api-object.ts'
import type { Column } from '../objects/resources.ts'

/** What kubectl prints of a built-in kind: cells by the server, headers and widths by the client. */
export interface Printer {
  readonly columns: readonly Column[]
  readonly cells: (object: ApiObject, nowMs: number) => readonly unknown[]
}

export const column = (name: string, type = 'string', priority = 0, format = ''): Column => ({
  name,
  type,
  priority,
  format,
  jsonPath: '',
  description: '',
})
export const nameColumn = column('Name', 'string', 0, 'name')

/** As Kubernetes shortens ages: 119s, 9m59s, 179m, 7h59m, 47h, 7d23h, 729d. */
export function shortDuration(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000))
  if (seconds < 120) return `${seconds}s`
  const minutes = Math.floor(seconds / 60)
  const pair = (large: number, largeUnit: string, small: number, smallUnit: string): string =>
    small === 0 ? `${large}${largeUnit}` : `${large}${largeUnit}${small}${smallUnit}`
  if (minutes < 10) return pair(minutes, 'm', seconds % 60, 's')
  if (minutes < 180) return `${minutes}m`
  const hours = Math.floor(minutes / 60)
  if (hours < 8) return pair(hours, 'h', minutes % 60, 'm')
  if (hours < 48) return `${hours}h`
  const days = Math.floor(hours / 24)
  if (days < 8) return pair(days, 'd', hours % 24, 'h')
  if (days < 730) return `${days}d`
  const years = Math.floor(days / 365)
  return years < 8 ? pair(years, 'y', days % 365, 'd') : `${years}y`
}

export function since(time: unknown, nowMs: number): string {
  return typeof time === 'string' ? shortDuration(nowMs - Date.parse(time)) : '<unknown>'
}

export const at = (object: unknown, ...path: readonly string[]): unknown =>
  path.reduce<unknown>((value, part) => (isObject(value) ? value[part] : undefined), object)
export const listAt = (object: unknown, ...path: readonly string[]): JsonObject[] => {
  const value = at(object, ...path)
  return Array.isArray(value) ? value.filter(isObject) : []
}
export const textAt = (object: unknown, fallback: string, ...path: readonly string[]): string => {
  const value = at(object, ...path)
  return value === undefined || value === null || value === '' ? fallback : String(value)
}

export const numberAt = (object: ApiObject, ...path: readonly string[]): number =>
  Number(at(object, ...path) ?? 0)

export const ageColumn = column('Age')
export const age = ({ metadata }: ApiObject, nowMs: number): string =>
  since(metadata.creationTimestamp, nowMs)
