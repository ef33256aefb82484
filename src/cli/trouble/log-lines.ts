/**
 * The most telling message of a log. Sallyport's processes write one JSON object per line. The last warning or error wins over later
 * messages.
 */
export function lastMessage(log: string): string {
  const lines = log.split('\n').filter((line) => line.trim() !== '')
  const records = lines.flatMap((line) => recordIn(line) ?? [])
  const record = records.findLast(({ level }) => level >= warning) ?? records.at(-1)
  return record?.msg ?? lines.at(-1) ?? ''
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
