import { Environment } from '@marcbachmann/cel-js'
import { parseAddress } from '../../../net/address.ts'
import { parsePrefix } from '../../../net/prefix.ts'
import type { Schema } from './schema.ts'

/*
 * Whether a rule fits the schema that it stands in. An API server compiles rules with the types of the schema: a field that is
 * not there, or a text that is compared with a number, is a mistake in the definition.
 */

const metadata: Schema = {
  type: 'object',
  properties: { name: { type: 'string' }, generateName: { type: 'string' } },
}
const rootFields: Readonly<Record<string, Schema>> = {
  apiVersion: { type: 'string' },
  kind: { type: 'string' },
  metadata,
}
const reserved =
  /^(true|false|null|in|as|break|const|continue|else|for|function|if|import|let|loop|package|namespace|return|var|void|while)$/

type RuleType = 'bool' | 'string'

/** Undefined: the expression compiles, and yields that type. */
export function typeProblem(expression: string, schema: Schema, isRoot: boolean): string | undefined {
  const bare = /\bhas\(\s*\w+\s*\)/.exec(expression)
  if (bare !== null) return 'invalid argument to has() macro'
  // A field that is asked for with has() must be one of the schema, too.
  const checked = expression.replace(/\bhas\(/g, 'isThere(')
  return resultOf(checked, schema, isRoot).problem
}

export function yieldsType(expression: string, schema: Schema, isRoot: boolean, wanted: RuleType): boolean {
  const { type } = resultOf(expression, schema, isRoot)
  return type === wanted || type === 'dyn'
}

function resultOf(
  expression: string,
  schema: Schema,
  isRoot: boolean,
): { readonly problem: string | undefined; readonly type: string | undefined } {
  const environment = new Environment()
    .registerFunction('isThere(dyn): bool', () => true)
    .registerFunction('isIP(string): bool', (text: string) => parseAddress(text) !== undefined)
    .registerFunction('isCIDR(string): bool', (text: string) => parsePrefix(text) !== undefined)
  const withRoot: Schema = isRoot
    ? { ...schema, properties: { ...schema.properties, ...rootFields } }
    : schema
  const type = typeOf(withRoot, environment, { count: 0 })
  environment.registerVariable('self', type).registerVariable('oldSelf', type)
  try {
    const { valid, error, type: found } = environment.check(expression)
    return { problem: valid ? undefined : (error?.message ?? 'it does not compile'), type: found }
  } catch (error) {
    return { problem: error instanceof Error ? error.message : String(error), type: undefined }
  }
}

function typeOf(schema: Schema, environment: Environment, names: { count: number }): string {
  if (schema['x-kubernetes-int-or-string']) return 'dyn'
  switch (schema.type) {
    case 'string':
      return 'string'
    case 'integer':
      return 'int'
    case 'number':
      return 'double'
    case 'boolean':
      return 'bool'
    case 'array':
      return `list<${typeOf(schema.items ?? {}, environment, names)}>`
    case 'object':
      return typeOfObject(schema, environment, names)
    default:
      return 'dyn'
  }
}

function typeOfObject(
  { properties, additionalProperties }: Schema,
  environment: Environment,
  names: { count: number },
): string {
  if (typeof additionalProperties === 'object')
    return `map<string, ${typeOf(additionalProperties, environment, names)}>`
  const fields = Object.entries(properties ?? {}).map(([name, below]) => [
    escapeField(name),
    typeOf(below, environment, names),
  ])
  names.count += 1
  const name = `Object${names.count}`
  environment.registerType({ name, schema: Object.fromEntries(fields) as Record<string, string> })
  return name
}

/** How a rule writes the name of a field that is no identifier. */
function escapeField(name: string): string {
  if (reserved.test(name)) return `__${name}__`
  return name
    .replaceAll('__', '__underscores__')
    .replaceAll('.', '__dot__')
    .replaceAll('-', '__dash__')
    .replaceAll('/', '__slash__')
}
