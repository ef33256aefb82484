import { isDeepStrictEqual } from 'node:util'
import { type Bindings, textDifference } from './placeholders.ts'
import type { RecordedAnswer } from './recording.ts'

export type Fields = Readonly<Record<string, unknown>>
const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** A field that is not compared, and why. */
interface Exception {
  readonly path: RegExp
  readonly reason: string
}

const exceptions: readonly Exception[] = [
  {
    path: /^\.metadata\.resourceVersion$/,
    reason: 'a list has the version of the whole store, which other writes raise',
  },
]

/** Where an answer differs from the recorded one: a line each. */
export function differencesOf(recorded: RecordedAnswer, own: RecordedAnswer, bindings: Bindings): string[] {
  const lines: string[] = []
  if (recorded.status !== own.status) lines.push(`status: ${own.status} instead of ${recorded.status}`)
  if (recorded.status === 0) return lines
  if (recorded.contentType !== own.contentType)
    lines.push(`content type: ${own.contentType} instead of ${recorded.contentType}`)
  compare(recorded.warnings ?? [], own.warnings ?? [], 'warnings', bindings, lines)
  compareBodies(recorded.body, own.body, bindings, lines)
  return lines
}

function compareBodies(recorded: unknown, own: unknown, bindings: Bindings, lines: string[]): void {
  if (isRefusal(recorded) && isRefusal(own)) compareRefusals(recorded, own, bindings, lines)
  else compare(recorded, own, '', bindings, lines)
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
    .map((cause) => [JSON.stringify(cause), cause] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, cause]) => cause)
}

/** What a message quotes of a body is Go's print of it, and what follows `compilation failed` is the compiler's own. */
function plainMessage(message: string): string {
  return message
    .replace(/^(Invalid value: )[[{].*[\]}](: )/s, '$1<value>$2')
    .replace(/(compilation failed: ).*/s, '$1<why>')
}

function compare(recorded: unknown, own: unknown, path: string, bindings: Bindings, lines: string[]): void {
  if (exceptions.some((each) => each.path.test(path)) && typeof recorded === typeof own) return
  if (typeof recorded === 'string' && (typeof own === 'string' || typeof own === 'number')) {
    const difference = textDifference(recorded, String(own), bindings)
    if (difference !== undefined) lines.push(`${path}: ${difference}`)
  } else if (Array.isArray(recorded) && Array.isArray(own)) {
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
  if (recorded === undefined) lines.push(`${path}: ${print(own)} is too much`)
  else if (own === undefined) lines.push(`${path}: ${print(recorded)} is missing`)
  else compare(recorded, own, path, bindings, lines)
}

function print(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing'
  return text.length > 300 ? `${text.slice(0, 300)}…` : text
}
