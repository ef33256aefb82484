import { type AstNode, parse } from './cel.ts'
import type { Schema } from './schema.ts'

/*
 * What an API server thinks a rule may cost before it has seen an object, worked out as Kubernetes does: with the longest texts
 * and lists that the schema allows (k8s.io/apiserver, pkg/cel; cel-go, checker/cost.go). It refuses a definition that may cost
 * more than these.
 */
export const mostPerRule = 10_000_000
export const mostPerDefinition = 100_000_000

/** What bounds a text or a list that the schema does not: a request has 3 MiB at most. */
const mostBytes = 3 * 1024 * 1024 - 2
const bytesPerCharacter = 4
const textFactor = 0.1
const patternFactor = 0.25
const listCost = 10

export interface RuleCost {
  /** Of the schema, as in `spec.selectors[]`. */
  readonly path: string
  /** The same as an API server names it, as in `.properties[spec].items.x-kubernetes-validations[0]`. */
  readonly field: string
  readonly part: 'rule' | 'messageExpression'
  readonly expression: string
  readonly cost: number
}

/** Every rule and every messageExpression below a schema. A rule inside a list is counted for each item that there may be. */
export function estimateRules(schema: Schema, path = '', times = 1, above = ''): RuleCost[] {
  const own = (schema['x-kubernetes-validations'] ?? []).flatMap(
    ({ rule, messageExpression }, index): RuleCost[] => {
      const field = `${above}.x-kubernetes-validations[${index}]`
      const ofRule: RuleCost = {
        path,
        field,
        part: 'rule',
        expression: rule,
        cost: costOf(rule, schema) * times,
      }
      if (messageExpression === undefined) return [ofRule]
      const cost = costOf(messageExpression, schema)
      return [ofRule, { path, field, part: 'messageExpression', expression: messageExpression, cost }]
    },
  )
  const { properties = {}, items, additionalProperties: values } = schema
  return [
    ...own,
    ...Object.entries(properties).flatMap(([name, below]) =>
      estimateRules(below, path === '' ? name : `${path}.${name}`, times, `${above}.properties[${name}]`),
    ),
    ...(items === undefined
      ? []
      : estimateRules(items, `${path}[]`, times * sizeOf(schema), `${above}.items`)),
    ...(typeof values === 'object'
      ? estimateRules(values, `${path}{}`, times * sizeOf(schema), `${above}.additionalProperties`)
      : []),
  ]
}

function costOf(expression: string, self: Schema): number {
  return estimate(parse(expression), { self, oldSelf: self }).cost
}

/** The most bytes of a text, the most entries of a list or map. */
function sizeOf({ type, maxLength, enum: choices, maxItems, maxProperties, items, ...rest }: Schema): number {
  if (type === 'string' && maxLength !== undefined) return maxLength * bytesPerCharacter
  if (type === 'string' && choices !== undefined) return Math.max(...choices.map((each) => `${each}`.length))
  if (type === 'string') return mostBytes
  if (type === 'array') return maxItems ?? Math.floor(mostBytes / (leastBytes(items) + 1))
  if (typeof rest.additionalProperties === 'object')
    return maxProperties ?? Math.floor(mostBytes / (leastBytes(rest.additionalProperties) + 4))
  return 1
}

/** The shortest JSON of a value: `""`, `{}`, `[]`, a digit. */
function leastBytes(schema: Schema = {}): number {
  const { type, properties = {}, required = [] } = schema
  if (type === 'integer' || type === 'number') return 1
  if (type === 'boolean') return 4
  return required.reduce((sum, name) => sum + name.length + 4 + leastBytes(properties[name]), 2)
}

interface Estimate {
  readonly cost: number
  readonly size: number
  /** Of what the expression stands for, where it is a part of the object. */
  readonly schema?: Schema | undefined
}

type Variables = Readonly<Record<string, Schema>>

const lookUpCost = 1
const found = (schema: Schema | undefined, cost: number): Estimate => ({
  cost,
  size: schema === undefined ? 1 : sizeOf(schema),
  schema,
})
const share = (size: number, factor: number): number => Math.ceil(size * factor)

function estimate({ op, args }: AstNode, variables: Variables): Estimate {
  const of = (node: unknown): Estimate => estimate(node as AstNode, variables)
  const list = Array.isArray(args) ? args : [args]
  switch (op) {
    case 'value':
      return { cost: 0, size: typeof args === 'string' ? args.length : 1 }
    case 'id':
      return found(variables[String(args)], lookUpCost)
    case '.': {
      const { cost, schema } = of(list[0])
      return found(schema?.properties?.[String(list[1])], cost + lookUpCost)
    }
    case '[]': {
      const { cost, schema } = of(list[0])
      return found(schema?.items, cost + of(list[1]).cost + lookUpCost)
    }
    case 'list':
      return { cost: listCost + total(list.map(of)), size: list.length }
    case 'call':
      return { cost: total((list[1] as AstNode[]).map(of)) + lookUpCost, size: 1 }
    case 'rcall':
      return estimateCall(String(list[0]), list[1] as AstNode, list[2] as AstNode[], variables)
    default:
      return estimateOperator(op, list.map(of))
  }
}

const total = (parts: readonly Estimate[]): number => parts.reduce((sum, { cost }) => sum + cost, 0)

function estimateOperator(op: string, operands: readonly Estimate[]): Estimate {
  const sizes = operands.map(({ size }) => size)
  const cost = total(operands)
  switch (op) {
    case '||':
    case '&&':
      return { cost, size: 1 }
    case '==':
    case '!=':
      return { cost: cost + share(Math.min(...sizes), textFactor), size: 1 }
    case 'in':
      return { cost: cost + (sizes[1] ?? 1), size: 1 }
    case '+': {
      const size = sizes.reduce((sum, each) => sum + each, 0)
      return { cost: cost + share(size, textFactor), size }
    }
    default:
      return { cost: cost + 1, size: Math.max(...sizes) }
  }
}

function estimateCall(name: string, on: AstNode, args: readonly AstNode[], variables: Variables): Estimate {
  const target = estimate(on, variables)
  if (['all', 'exists', 'exists_one', 'filter', 'map'].includes(name)) {
    const [variable, body] = args as [AstNode, AstNode]
    const item = target.schema?.items ?? {}
    const each = estimate(body, { ...variables, [String(variable.args)]: item })
    /* Go on? Was it so before? And with filter and map, a list of one item that is added to those before it. */
    const step = name === 'filter' || name === 'map' ? listCost + 4 : 3
    return {
      cost: target.cost + target.size * (each.cost + step) + listCost,
      size: target.size,
      schema: target.schema,
    }
  }
  const given = args.map((each) => estimate(each, variables))
  const cost = target.cost + total(given)
  if (name === 'matches')
    return {
      cost: cost + share(target.size + 1, textFactor) * share(given[0]?.size ?? mostBytes, patternFactor),
      size: 1,
    }
  return { cost: cost + share(target.size, textFactor) + 1, size: target.size }
}
