/** Since when something is missing, as a leader has seen it without a gap. It is replaced, never changed. */
export interface Absences<K> {
  readonly term: number | undefined
  readonly sinceMs: ReadonlyMap<K, number>
}

export function noAbsences<K>(): Absences<K> {
  return { term: undefined, sinceMs: new Map() }
}

/** `missing`: what is missing now. A new term starts all times again: something may have come and gone while this process did not lead. */
export function noteAbsences<K>(
  before: Absences<K>,
  missing: readonly K[],
  term: number | undefined,
  nowMs: number,
): Absences<K> {
  const known = term === before.term ? before.sinceMs : new Map<K, number>()
  return { term, sinceMs: new Map(missing.map((key) => [key, known.get(key) ?? nowMs])) }
}

/** What has been missing for at least so long. */
export function missingFor<K>({ sinceMs }: Absences<K>, forMs: number, nowMs: number): readonly K[] {
  return [...sinceMs].flatMap(([key, since]) => (nowMs - since >= forMs ? [key] : []))
}
