import type { FieldIssue } from '../http/status-error.ts'
import { isObject, type JsonObject } from '../objects/api-object.ts'
import { forbidden, missing, unsupported, wrong } from './field-issues.ts'
import { typeProblem, yieldsType } from './rule-checker.ts'
import { estimateRules, mostPerDefinition, mostPerRule, type RuleCost } from './rule-cost.ts'
import type { Rule, Schema } from './schema.ts'

const reasons = ['FieldValueDuplicate', 'FieldValueForbidden', 'FieldValueInvalid', 'FieldValueRequired']
const remedy =
  '(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)'
/** How many of the rules that cost most are named. */
const namedRules = 4

/** What is wrong with the x-kubernetes-validations of a schema and of everything below it, and what they would cost. */
export function validationRuleIssues(root: JsonObject, field: string): FieldIssue[] {
  const issues = ruleIssues(root, field, true)
  return issues.length > 0 ? issues : costIssues(root as Schema, field)
}

function ruleIssues(schema: JsonObject, field: string, isRoot: boolean): FieldIssue[] {
  const rules = Array.isArray(schema['x-kubernetes-validations']) ? schema['x-kubernetes-validations'] : []
  const below: [string, unknown][] = [
    ...Object.entries(isObject(schema.properties) ? schema.properties : {}).map(
      ([name, property]): [string, unknown] => [`properties[${name}]`, property],
    ),
    ['items', schema.items],
    ['additionalProperties', schema.additionalProperties],
  ]
  return [
    ...rules.flatMap((rule, index) =>
      issuesOf(rule as Rule, schema as Schema, `${field}.x-kubernetes-validations[${index}]`, isRoot),
    ),
    ...below.flatMap(([name, part]) => (isObject(part) ? ruleIssues(part, `${field}.${name}`, false) : [])),
  ]
}

function issuesOf(rule: Rule, schema: Schema, field: string, isRoot: boolean): FieldIssue[] {
  const { rule: expression = '', reason, fieldPath, optionalOldSelf } = rule
  if (expression.trim() === '') return [missing(`${field}.rule`, ': rule is not specified')]
  const issues = messageIssues(rule, schema, field, isRoot)
  if (reason !== undefined && !reasons.includes(reason))
    issues.push(unsupported(`${field}.reason`, reason, reasons))
  if (fieldPath !== undefined && fieldPath !== '' && !isFieldPath(fieldPath, schema))
    issues.push(wrong(`${field}.fieldPath`, fieldPath, 'must be a valid path'))
  if (optionalOldSelf !== undefined && !/\boldSelf\b/.test(expression))
    issues.push(
      wrong(`${field}.optionalOldSelf`, optionalOldSelf, 'may not be set if oldSelf is not used in rule'),
    )
  const problem = compileProblem(expression, schema, isRoot, optionalOldSelf === true)
  if (problem !== undefined)
    issues.push(wrong(`${field}.rule`, printRule(rule), `compilation failed: ${problem}`))
  else if (optionalOldSelf !== true && !yieldsType(expression, schema, isRoot, 'bool'))
    issues.push(wrong(`${field}.rule`, printRule(rule), 'cel expression must evaluate to a bool'))
  return issues
}

function messageIssues(rule: Rule, schema: Schema, field: string, isRoot: boolean): FieldIssue[] {
  const { rule: expression, message = '', messageExpression } = rule
  const issues: FieldIssue[] = []
  if (message !== '' && message.trim() === '')
    issues.push(wrong(`${field}.message`, message, 'must be non-empty if specified'))
  else if (/[\n\r]/.test(message))
    issues.push(wrong(`${field}.message`, message, 'must not contain line breaks'))
  if (/[\n\r]/.test(expression) && message.trim() === '')
    issues.push(missing(`${field}.message`, ': message must be specified if rule contains line breaks'))
  if (messageExpression === undefined || messageExpression === '') return issues
  const at = `${field}.messageExpression`
  if (messageExpression.trim() === '')
    return [...issues, missing(at, ': messageExpression must be non-empty if specified')]
  const problem = typeProblem(messageExpression, schema, isRoot)
  if (problem !== undefined)
    issues.push(wrong(at, printRule(rule), `messageExpression compilation failed: ${problem}`))
  else if (!yieldsType(messageExpression, schema, isRoot, 'string'))
    issues.push(wrong(at, printRule(rule), 'messageExpression must evaluate to a string'))
  return issues
}

/** A rule about an optional oldSelf is not looked into: its methods are not known here. */
function compileProblem(
  expression: string,
  schema: Schema,
  isRoot: boolean,
  isOptional: boolean,
): string | undefined {
  if (isOptional) return undefined
  const pattern = /\.matches\('([^']*)'\)/.exec(expression)?.[1]
  if (pattern !== undefined && !isPattern(pattern)) return 'invalid matches argument'
  return typeProblem(expression, schema, isRoot)
}

function isPattern(pattern: string): boolean {
  try {
    return new RegExp(pattern).source !== ''
  } catch {
    return false
  }
}

/** `.field.below`, of fields that the schema has. */
function isFieldPath(path: string, schema: Schema): boolean {
  if (!/^(\.[A-Za-z_][\w-]*|\['[^']+'\])+$/.test(path)) return false
  let at: Schema | undefined = schema
  for (const [, name, quoted] of path.matchAll(/\.([\w-]+)|\['([^']+)'\]/g))
    at = at?.properties?.[name ?? quoted ?? '']
  return at !== undefined
}

/** As Go prints the rule that it quotes. */
function printRule({ rule, message, messageExpression, reason, fieldPath, optionalOldSelf }: Rule): object {
  return {
    Rule: rule,
    Message: message ?? '',
    MessageExpression: messageExpression ?? '',
    Reason: reason ?? null,
    FieldPath: fieldPath ?? '',
    OptionalOldSelf: optionalOldSelf ?? null,
  }
}

function costIssues(schema: Schema, field: string): FieldIssue[] {
  const rules = estimateRules(schema)
  const whole = rules.reduce((sum, { cost }) => sum + cost, 0)
  const at = ({ field: path, part }: RuleCost): string => `${field}${path}.${part}`
  const dear = rules
    .filter(({ cost }) => cost > mostPerRule)
    .map((rule) =>
      forbidden(
        at(rule),
        `estimated ${rule.part} cost exceeds budget by factor of ${factor(rule.cost / mostPerRule, 1)}x ${remedy}`,
      ),
    )
  if (whole <= mostPerDefinition) return dear
  const contributors = [...rules]
    .sort((a, b) => b.cost - a.cost)
    .slice(0, namedRules)
    .map((rule) =>
      forbidden(
        at(rule),
        'contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema',
      ),
    )
  const total = `x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema exceeds budget by factor of ${factor(whole / mostPerDefinition, 6)}x ${remedy}`
  return [...dear, ...contributors, forbidden(field, total)]
}

function factor(value: number, digits: number): string {
  return value > 100 ? 'more than 100' : value.toFixed(digits)
}
