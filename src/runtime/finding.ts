/** The result of a check, in words, and what to do about it. */
export interface Finding {
  /** `problem`: it will not work. `warning`: it may not work, or not as expected. `fine`: checked, and no problem. */
  readonly level: 'problem' | 'warning' | 'fine'
  readonly what: string
  readonly remedy?: string
}

const marks = { problem: '✗', warning: '!', fine: '✓' } as const

/** Sorted by level, the worst first. */
export function formatFindings(findings: readonly Finding[]): string {
  const order = Object.keys(marks)
  return findings
    .toSorted((a, b) => order.indexOf(a.level) - order.indexOf(b.level))
    .map(({ level, what, remedy }) => `${marks[level]} ${what}${remedy === undefined ? '' : `: ${remedy}`}`)
    .join('\n')
}
