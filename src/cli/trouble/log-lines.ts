/**
 * What a process said last, as one sentence. Ours write one JSON object a line; the message of the last warning or error counts more than
 * what came after it.
 */
export function lastWords(log: string): string {
  const lines = log.split('\n').filter((line) => line.trim() !== '')
  const records = lines.flatMap((line) => recordIn(line) ?? [])
  const grave = records.findLast(({ level }) => level >= warning) ?? records.at(-1)
  return grave?.msg ?? lines.at(-1) ?? ''
}

/** pino's number for `warn`. */
const warning = 40

function recordIn(line: string): { readonly level: number; readonly msg: string } | undefined {
  try {
    const { level, msg } = JSON.parse(line) as { readonly level?: unknown; readonly msg?: unknown }
    return typeof level === 'number' && typeof msg === 'string' ? { level, msg } : undefined
  } catch {
    return undefined
  }
}
