import { isDeepStrictEqual } from 'node:util'

/**
 * Whether both are the same as JSON. The order of keys does not matter, because an API server that merges a patch has its
 * own order.
 */
export function isSameJson(a: unknown, b: unknown): boolean {
  return isDeepStrictEqual(normalize(a), normalize(b))
}

function normalize(value: unknown): unknown {
  const text = JSON.stringify(value)
  return text === undefined ? undefined : JSON.parse(text)
}
