/** Settings that are maps, lists of objects, or objects: JSON text with sorted keys, so that equal values are equal texts. */

export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json }
type JsonObject = { readonly [key: string]: Json }

const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** As Go's encoder writes it: keys in the order of their bytes, no spaces. */
export function canonicalJson(value: Json): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`
  if (!isObject(value)) return JSON.stringify(value)
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${canonicalJson(item)}`).join(',')}}`
}

export function parseJson(text: string): Json | undefined {
  try {
    return JSON.parse(text) as Json
  } catch {
    return undefined
  }
}

/** As Helm merges values: objects key by key, null removes a key, anything else replaces. */
export function mergeStructures(base: Json | undefined, given: Json): Json {
  if (!isObject(given)) return given
  const merged: Record<string, Json> = isObject(base) ? { ...base } : {}
  for (const [key, value] of Object.entries(given)) {
    if (value === null) delete merged[key]
    else merged[key] = mergeStructures(merged[key], value)
  }
  return merged
}

/** `requests.cpu` with 100m is {requests: {cpu: 100m}}; a backslash keeps a dot inside a key: `kubernetes\.io/os`. */
export function nestUnder(path: string, value: Json): Json {
  const keys = path.split(/(?<!\\)\./).map((key) => key.replaceAll('\\.', '.'))
  return keys.reduceRight<Json>((inner, key) => ({ [key]: inner }), value)
}
