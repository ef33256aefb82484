import { badRequest } from '../../http/status-error.ts'
import type { ApiObject, Predicate } from '../api-object.ts'
import { labelKeyIssues, labelValueIssues } from '../rules/object-metadata.ts'

/*
 * Label selectors as apimachinery reads them: the same words, in the same order, are refused with the same message, because a
 * selector that only a lenient server takes is a fault of the client that sent it.
 */

const punctuation = ['==', '!=', '=', '!', '<', '>', '(', ')', ','] as const
type Punctuation = (typeof punctuation)[number]
type Token =
  | { readonly kind: Punctuation | 'word'; readonly text: string }
  | { readonly kind: 'end'; readonly text: '' }

const operators = ['in', 'notin', '=', '==', '!=', '<', '>'] as const
type Operator = (typeof operators)[number] | 'exists' | 'absent'

interface Requirement {
  readonly key: string
  readonly operator: Operator
  readonly values: readonly string[]
}

const integer = /^[+-]?\d+$/
const end: Token = { kind: 'end', text: '' }

function tokensOf(text: string): Token[] {
  const parts = text.match(/==|!=|[=!<>(),]|[^\s=!<>(),]+/g) ?? []
  return parts.map((part) => ({ kind: punctuation.find((each) => each === part) ?? 'word', text: part }))
}

/** Reads tokens one by one; each method throws the message that apimachinery has for what it did not expect. */
class Reader {
  readonly #tokens: readonly Token[]
  #at = 0

  constructor(text: string) {
    this.#tokens = tokensOf(text)
  }

  get next(): Token {
    return this.#tokens[this.#at] ?? end
  }

  take(): Token {
    const token = this.next
    this.#at++
    return token
  }

  requirement(): Requirement {
    const isAbsent = this.next.kind === '!'
    if (isAbsent) this.take()
    const { kind, text: key } = this.take()
    if (kind !== 'word') throw new Error(`found '${key}', expected: identifier`)
    const [issue] = labelKeyIssues(key)
    if (issue !== undefined) throw new Error(`<nil>: Invalid value: ${JSON.stringify(key)}: ${issue}`)
    if (isAbsent) return { key, operator: 'absent', values: [] }
    if (this.next.kind === 'end' || this.next.kind === ',') return { key, operator: 'exists', values: [] }
    const operator = this.#operator()
    const values = operator === 'in' || operator === 'notin' ? this.#values() : [this.#exactValue()]
    return checked({ key, operator, values })
  }

  #operator(): Operator {
    const { text } = this.take()
    const operator = operators.find((each) => each === text)
    if (operator === undefined) throw new Error(`found '${text}', expected: in, notin, =, ==, !=, gt, lt`)
    return operator
  }

  #exactValue(): string {
    if (this.next.kind === 'end' || this.next.kind === ',') return ''
    const { kind, text } = this.take()
    if (kind !== 'word') throw new Error(`found '${text}', expected: identifier`)
    return text
  }

  /** `(a,b)`. Where a value is missing, it is the empty one. */
  #values(): string[] {
    const open = this.take()
    if (open.kind !== '(') throw new Error(`found '${open.text}' expected: '('`)
    const values: string[] = []
    for (;;) {
      values.push(this.next.kind === 'word' ? this.take().text : '')
      const { kind, text } = this.take()
      if (kind === ')') return values
      if (kind !== ',') throw new Error(`found '${text}', expected: ',' or ')'`)
    }
  }
}

function checked(requirement: Requirement): Requirement {
  const { key, operator, values } = requirement
  if (operator === '<' || operator === '>')
    for (const value of values)
      if (!isInteger(value))
        throw new Error(
          `values[0]: Invalid value: ${JSON.stringify(value)}: for 'Gt', 'Lt' operators, the value must be an integer`,
        )
  for (const [index, value] of values.entries())
    for (const issue of labelValueIssues(value))
      throw new Error(`values[${index}][${key}]: Invalid value: ${JSON.stringify(value)}: ${issue}`)
  return requirement
}

/** `a=b,c!=d,e in (x,y),f notin (z),g,!h,i>1`: all must hold. Throws what a request with a wrong one is answered. */
export function parseLabelSelector(text: string): Predicate {
  const reader = new Reader(text)
  const requirements: Requirement[] = []
  while (reader.next.kind !== 'end') {
    const { kind, text: found } = reader.next
    if (kind !== 'word' && kind !== '!')
      throw badRequest(`found '${found}', expected: !, identifier, or 'end of string'`)
    requirements.push(requirementOf(reader))
    const separator = reader.take()
    if (separator.kind === 'end') break
    if (separator.kind !== ',')
      throw badRequest(`found '${separator.text}', expected: ',' or 'end of string'`)
    if (reader.next.kind !== 'word' && reader.next.kind !== '!')
      throw badRequest(`found '${reader.next.text}', expected: identifier after ','`)
  }
  return ({ metadata: { labels = {} } }: ApiObject) =>
    requirements.every((requirement) => holds(requirement, labels))
}

function requirementOf(reader: Reader): Requirement {
  try {
    return reader.requirement()
  } catch (error) {
    throw badRequest(`unable to parse requirement: ${error instanceof Error ? error.message : error}`)
  }
}

function holds({ key, operator, values }: Requirement, labels: Readonly<Record<string, string>>): boolean {
  const value = labels[key]
  switch (operator) {
    case '=':
    case '==':
    case 'in':
      return value !== undefined && values.includes(value)
    case '!=':
    case 'notin':
      return value === undefined || !values.includes(value)
    case '<':
      return isInteger(value) && Number(value) < Number(values[0])
    case '>':
      return isInteger(value) && Number(value) > Number(values[0])
    case 'exists':
      return value !== undefined
    case 'absent':
      return value === undefined
  }
}

function isInteger(value: string | undefined): value is string {
  return value !== undefined && integer.test(value)
}
