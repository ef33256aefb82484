import { Environment } from '@marcbachmann/cel-js'
import { parseAddress } from '../../../net/address.ts'
import { parsePrefix } from '../../../net/prefix.ts'
import type { FieldIssue } from '../http/status-error.ts'
import type { Rule } from './schema.ts'

/** A node of a parsed expression: an operator, a name or a value, and what it is applied to. */
export interface AstNode {
  readonly op: string
  readonly args: unknown
}

type Evaluate = ((context: Record<string, unknown>) => unknown) & { readonly ast: AstNode }

const environment = new Environment()
  .registerVariable('self', 'dyn')
  .registerVariable('oldSelf', 'dyn')
  .registerFunction('isIP(string): bool', (text: string) => parseAddress(text) !== undefined)
  .registerFunction('isCIDR(string): bool', (text: string) => parsePrefix(text) !== undefined)

const compiled = new Map<string, Evaluate>()

function compile(expression: string): Evaluate {
  const known = compiled.get(expression)
  if (known !== undefined) return known
  const evaluate = environment.parse(expression) as unknown as Evaluate
  compiled.set(expression, evaluate)
  return evaluate
}

export function parse(expression: string): AstNode {
  return compile(expression).ast
}

/** What is wrong with a rule itself; undefined when it can be evaluated. */
export function ruleProblem(expression: string): string | undefined {
  try {
    compile(expression)
    return undefined
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

/** x-kubernetes-validations of one value. A rule about oldSelf holds when there is no old value. */
export function checkRules(
  rules: readonly Rule[],
  self: unknown,
  oldSelf: unknown,
  path: string,
): FieldIssue[] {
  return rules.flatMap((rule) => {
    if (/\boldSelf\b/.test(rule.rule) && oldSelf === undefined) return []
    const failure = evaluateRule(rule, { self: toCel(self), oldSelf: toCel(oldSelf) })
    if (failure === undefined) return []
    const quoted = typeof self === 'object' && self !== null ? '' : `${JSON.stringify(self)}: `
    return [
      {
        field: `${path}${rule.fieldPath ?? ''}`.replace(/^\./, '') || '<nil>',
        reason: rule.reason ?? 'FieldValueInvalid',
        message: `Invalid value: ${quoted}${failure.trim()}`,
      },
    ]
  })
}

function evaluateRule(rule: Rule, context: Record<string, unknown>): string | undefined {
  try {
    if (compile(rule.rule)(context) === true) return undefined
    if (rule.messageExpression !== undefined) return String(compile(rule.messageExpression)(context))
    return rule.message ?? `failed rule: ${rule.rule}`
  } catch (error) {
    return `rule ${rule.rule} could not be evaluated: ${error instanceof Error ? error.message : String(error)}`
  }
}

/** CEL tells integers from doubles; JSON does not. */
function toCel(value: unknown): unknown {
  if (typeof value === 'number' && Number.isInteger(value)) return BigInt(value)
  if (Array.isArray(value)) return value.map(toCel)
  if (typeof value === 'object' && value !== null)
    return Object.fromEntries(Object.entries(value).map(([key, below]) => [key, toCel(below)]))
  return value
}
