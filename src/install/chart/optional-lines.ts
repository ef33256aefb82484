/** Merges variants of a text into one template: the full text, and one variant without each condition. */

interface Condition {
  /** The expression in the template. */
  readonly test: string
  /** The whole text if the condition does not hold. */
  readonly without: readonly string[]
}

interface Change {
  /** The lines of the full text to replace, from and to (exclusive), and their replacement. */
  readonly from: number
  readonly to: number
  readonly instead: readonly string[]
}

/** The full text with `if` around the lines that depend on a condition. */
export function withConditions(full: readonly string[], conditions: readonly Condition[]): string[] {
  const opening: string[][] = full.map(() => [])
  const closing: string[][] = full.map(() => [])
  const nested = conditions
    .flatMap(({ test, without }) => changesOf(full, without).map((change) => ({ test, ...change })))
    .sort((a, b) => b.to - b.from - (a.to - a.from))
  for (const { test, from, to, instead } of nested) {
    if (from === to) throw new Error(`lines appear only without ${test}: ${instead.join(' ')}`)
    const indent = /^ */.exec(full[from] ?? '')?.[0] ?? ''
    opening[from]?.push(`${indent}{{- if ${test} }}`)
    const otherwise = instead.length === 0 ? [] : [`${indent}{{- else }}`, ...instead]
    closing[to - 1]?.unshift(...otherwise, `${indent}{{- end }}`)
  }
  return full.flatMap((line, index) => [...(opening[index] ?? []), line, ...(closing[index] ?? [])])
}

/** The changes from `full` to `other`, by the longest common subsequence of lines. */
function changesOf(full: readonly string[], other: readonly string[]): Change[] {
  const lengths = commonLengths(full, other)
  const changes: Change[] = []
  let [i, j] = [0, 0]
  while (i < full.length || j < other.length) {
    const [from, start] = [i, j]
    while (i < full.length || j < other.length) {
      if (i < full.length && j < other.length && full[i] === other[j]) break
      const skippingFull = lengths[i + 1]?.[j] ?? -1
      const skippingOther = lengths[i]?.[j + 1] ?? -1
      if (j >= other.length || (i < full.length && skippingFull >= skippingOther)) i++
      else j++
    }
    if (i > from || j > start) changes.push({ from, to: i, instead: other.slice(start, j) })
    i++
    j++
  }
  return changes
}

function commonLengths(a: readonly string[], b: readonly string[]): Uint16Array[] {
  const rows = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1))
  for (let i = a.length - 1; i >= 0; i--)
    for (let j = b.length - 1; j >= 0; j--)
      rows[i]![j] =
        a[i] === b[j] ? rows[i + 1]![j + 1]! + 1 : Math.max(rows[i + 1]![j] ?? 0, rows[i]![j + 1] ?? 0)
  return rows
}
