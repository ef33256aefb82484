import { isDeepStrictEqual } from 'node:util'
import { type Bindings, textDifference } from './placeholders.ts'
import type { RecordedAnswer } from './recording.ts'

export type Fields = Readonly<Record<string, unknown>>
const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Where an answer differs from the recorded one: a line each. */
export function differencesOf(recorded: RecordedAnswer, own: RecordedAnswer, bindings: Bindings): string[] {
  const lines: string[] = []
  if (recorded.status !== own.status) {
    const { message } = isFields(own.body) ? own.body : {}
    return [
      `status: ${own.status} instead of ${recorded.status}${message === undefined ? '' : `: ${message}`}`,
    ]
  }
  if (recorded.status === 0) return lines
  if (recorded.contentType !== own.contentType)
    lines.push(`content type: ${own.contentType} instead of ${recorded.contentType}`)
  compare(recorded.warnings ?? [], own.warnings ?? [], 'warnings', bindings, lines)
  compareBodies(recorded.body, own.body, bindings, lines)
  return lines
}

function compareBodies(recorded: unknown, own: unknown, bindings: Bindings, lines: string[]): void {
  if (isRefusal(recorded) && isRefusal(own)) compareRefusals(recorded, own, bindings, lines)
  else {
    noteListVersion(recorded, own, bindings)
    compare(withoutListVersion(recorded), withoutListVersion(own), '', bindings, lines)
  }
}

/** A list has the version of the whole store, which other writes raise. */
function withoutListVersion(body: unknown): unknown {
  if (!isFields(body) || !isFields(body.metadata) || !('items' in body || 'rows' in body)) return body
  const { resourceVersion: _, ...metadata } = body.metadata
  return { ...body, metadata }
}

/** A watch begins at the version of a list. */
function noteListVersion(recorded: unknown, own: unknown, bindings: Bindings): void {
  const [wanted, given] = [recorded, own].map((body) =>
    isFields(body) && isFields(body.metadata) ? body.metadata.resourceVersion : undefined,
  )
  if (typeof wanted === 'string' && typeof given === 'string') bindings.note(wanted, given)
}

function isRefusal(body: unknown): body is Fields {
  return isFields(body) && body.kind === 'Status' && body.status === 'Failure'
}

/** The message joins the causes, in an order and with quotes that are those of Go's maps: with causes, they count. */
function compareRefusals(recorded: Fields, own: Fields, bindings: Bindings, lines: string[]): void {
  const { message, details, ...rest } = recorded
  const { message: ownMessage, details: ownDetails, ...ownRest } = own
  compare(rest, ownRest, '', bindings, lines)
  const [wanted, given] = [details ?? {}, ownDetails ?? {}] as [Fields, Fields]
  const { causes, ...more } = wanted
  const { causes: ownCauses, ...ownMore } = given
  compare(more, ownMore, '.details', bindings, lines)
  if (causes === undefined && ownCauses === undefined)
    compare(message, ownMessage, '.message', bindings, lines)
  else compare(causesOf(causes), causesOf(ownCauses), '.details.causes', bindings, lines)
}

/** Sorted, and each without the parts that are of one language only. */
function causesOf(causes: unknown): unknown {
  if (!Array.isArray(causes)) return causes
  return causes
    .map((cause: Fields) => ({ ...cause, message: plainMessage(String(cause.message)) }))
    .map((cause: Fields) => [`${cause.field} ${cause.message}`, cause] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, cause]) => cause)
}

/** What a message quotes of a body is Go's print of it, and what follows `compilation failed` is the compiler's own. */
function plainMessage(message: string): string {
  return message
    .replace(/^(Invalid value: )(?:"[[{].*[\]}]"|[[{].*[\]}])(: )/s, '$1<value>$2')
    .replace(/(compilation failed: ).*/s, '$1<why>')
}

function compare(recorded: unknown, own: unknown, path: string, bindings: Bindings, lines: string[]): void {
  if (typeof recorded === 'string' && (typeof own === 'string' || typeof own === 'number')) {
    const difference = textDifference(recorded, String(own), bindings)
    if (difference !== undefined) lines.push(`${path}: ${difference}`)
  } else if (
    path.endsWith('.managedFields') &&
    Array.isArray(recorded) &&
    Array.isArray(own) &&
    !isSorted.has(recorded)
  )
    compare(byManager(recorded), byManager(own), path, bindings, lines)
  else if (Array.isArray(recorded) && Array.isArray(own)) {
    if (recorded.length !== own.length)
      lines.push(
        `${path}: ${own.length} items instead of ${recorded.length}: ${print(own)} instead of ${print(recorded)}`,
      )
    else
      for (const [index, item] of recorded.entries())
        compare(item, own[index], `${path}[${index}]`, bindings, lines)
  } else if (isFields(recorded) && isFields(own)) {
    for (const key of new Set([...Object.keys(recorded), ...Object.keys(own)]))
      compareField(recorded[key], own[key], `${path}.${key}`, bindings, lines)
  } else if (!isDeepStrictEqual(recorded, own))
    lines.push(`${path}: ${print(own)} instead of ${print(recorded)}`)
}

function compareField(
  recorded: unknown,
  own: unknown,
  path: string,
  bindings: Bindings,
  lines: string[],
): void {
  // An apply that changes nothing has no time, and whether it does depends on who wrote in between.
  if (/\.managedFields\[\d+\]\.time$/.test(path) && (recorded === undefined || own === undefined)) return
  if (recorded === undefined) lines.push(`${path}: ${print(own)} is too much`)
  else if (own === undefined) lines.push(`${path}: ${print(recorded)} is missing`)
  else compare(recorded, own, path, bindings, lines)
}

function print(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing'
  return text.length > 300 ? `${text.slice(0, 300)}…` : text
}

const isSorted = new WeakSet<object>()

/** Sorted by time first, which is another in each run. */
function byManager(entries: readonly Fields[]): Fields[] {
  const rank = ({ manager, operation, subresource }: Fields): string =>
    `${manager} ${operation} ${subresource}`
  const sorted = [...entries].sort((a, b) => (rank(a) < rank(b) ? -1 : 1))
  isSorted.add(sorted)
  return sorted
}
