import { isDeepStrictEqual } from 'node:util'

/** Whether both say the same as JSON. The order of keys does not count: an API server that merges a patch has its own. */
export function isSameJson(a: unknown, b: unknown): boolean {
  return isDeepStrictEqual(normalize(a), normalize(b))
}

function normalize(value: unknown): unknown {
  const text = JSON.stringify(value)
  return text === undefined ? undefined : JSON.parse(text)
}
