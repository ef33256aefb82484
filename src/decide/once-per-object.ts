/**
 * Objects of the world never change, they are replaced; and most are the same from one decision to the next. What was worked
 * out of one of them is kept for as long as the object is.
 */
export function oncePerObject<K extends object, V>(work: (of: K) => V): (of: K) => V {
  const known = new WeakMap<K, { readonly value: V }>()
  return (of) => {
    const found = known.get(of) ?? { value: work(of) }
    known.set(of, found)
    return found.value
  }
}
