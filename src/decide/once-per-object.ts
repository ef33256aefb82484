/**
 * Computes once per object, and keeps the result for as long as the object exists. Objects of the world are replaced, never
 * changed, and most are the same from one decision to the next.
 */
export function oncePerObject<K extends object, V>(work: (of: K) => V): (of: K) => V {
  const known = new WeakMap<K, { readonly value: V }>()
  return (of) => {
    const found = known.get(of) ?? { value: work(of) }
    known.set(of, found)
    return found.value
  }
}
