/** Values of settings that are maps, objects or lists of objects. They are stored as JSON with sorted keys, so that equal values are equal strings. */

export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json }
type JsonObject = { readonly [key: string]: Json }

const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** JSON as Go's encoder writes it: keys in byte order, no spaces. */
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

/** Merges values like Helm: objects key by key, null removes a key, any other value replaces. */
export function mergeStructures(base: Json | undefined, given: Json): Json {
  if (!isObject(given)) return given
  const merged: Record<string, Json> = isObject(base) ? { ...base } : {}
  for (const [key, value] of Object.entries(given)) {
    if (value === null) delete merged[key]
    else merged[key] = mergeStructures(merged[key], value)
  }
  return merged
}

/** `requests.cpu` and 100m become {requests: {cpu: 100m}}. A backslash before a dot keeps it in the key: `kubernetes\.io/os`. */
export function nestUnder(path: string, value: Json): Json {
  const keys = path.split(/(?<!\\)\./).map((key) => key.replaceAll('\\.', '.'))
  return keys.reduceRight<Json>((inner, key) => ({ [key]: inner }), value)
}
