/** Since when each key has been missing without interruption, as far as this leader has seen. Never modified: a new one replaces it. */
export interface Absences<K> {
  readonly term: number | undefined
  readonly sinceMs: ReadonlyMap<K, number>
}

export function noAbsences<K>(): Absences<K> {
  return { term: undefined, sinceMs: new Map() }
}

/** `missing`: the keys that are missing now. A new term starts all times again, because a key may have been there while another process led. */
export function noteAbsences<K>(
  before: Absences<K>,
  missing: readonly K[],
  term: number | undefined,
  nowMs: number,
): Absences<K> {
  const known = term === before.term ? before.sinceMs : new Map<K, number>()
  return { term, sinceMs: new Map(missing.map((key) => [key, known.get(key) ?? nowMs])) }
}

/** The keys that have been missing for at least `forMs`. */
export function missingFor<K>({ sinceMs }: Absences<K>, forMs: number, nowMs: number): readonly K[] {
  return [...sinceMs].flatMap(([key, since]) => (nowMs - since >= forMs ? [key] : []))
}
