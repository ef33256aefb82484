import { type ApiObject, isObject, type JsonObject } from './api-object.ts'
import { ruleProblem } from './cel.ts'
import { isList, isText, missing, wrong } from './field-issues.ts'
import { builtInKinds } from './resources.ts'
import { estimateRules, mostPerDefinition, mostPerRule } from './rule-cost.ts'
import type { Schema } from './schema.ts'
import type { FieldIssue } from './status-error.ts'

const builtInGroups = new Set(builtInKinds.map(({ group }) => group))

/** What is wrong with a CustomResourceDefinition: its schemas are trusted later by all that walks through them. */
export function definitionIssues({ metadata, spec = {} }: ApiObject): FieldIssue[] {
  const names = isObject(spec.names) ? spec.names : {}
  const issues: FieldIssue[] = []
  for (const field of ['kind', 'plural'])
    if (typeof names[field] !== 'string' || names[field] === '') issues.push(missing(`spec.names.${field}`))
  for (const field of ['shortNames', 'categories'])
    if (names[field] !== undefined && !isList(names[field], isText))
      issues.push(wrong(`spec.names.${field}`, names[field], 'must be a list of names'))
  const { group, scope } = spec
  if (typeof group !== 'string' || !group.includes('.') || builtInGroups.has(group))
    issues.push(
      wrong('spec.group', group, 'should be a domain with at least one dot, and none of Kubernetes'),
    )
  if (scope !== 'Namespaced' && scope !== 'Cluster')
    issues.push({
      field: 'spec.scope',
      reason: 'FieldValueNotSupported',
      message: `Unsupported value: ${JSON.stringify(scope)}: supported values: "Cluster", "Namespaced"`,
    })
  if (metadata.name !== `${names.plural}.${group}`)
    issues.push(wrong('metadata.name', metadata.name, 'must be spec.names.plural+"."+spec.group'))
  issues.push(...versionIssues(spec.versions), ...ruleIssues(spec))
  return issues.length > 0 ? issues : costIssues(spec.versions as JsonObject[])
}

function versionIssues(versions: unknown): FieldIssue[] {
  if (!Array.isArray(versions) || !versions.every(isObject) || versions.length === 0)
    return [missing('spec.versions')]
  const issues: FieldIssue[] = []
  if (versions.filter(({ storage }) => storage === true).length !== 1)
    issues.push(
      wrong('spec.versions', versions.length, 'must have exactly one version marked as storage version'),
    )
  for (const [index, { name, schema, additionalPrinterColumns: columns }] of versions.entries()) {
    const field = `spec.versions[${index}]`
    const root = isObject(schema) ? schema.openAPIV3Schema : undefined
    if (typeof name !== 'string' || name === '') issues.push(missing(`${field}.name`))
    if (!isObject(root) || root.type !== 'object') issues.push(missing(`${field}.schema.openAPIV3Schema`))
    else issues.push(...schemaIssues(root, `${field}.schema.openAPIV3Schema`), ...metadataIssues(root))
    const isColumn = (column: unknown): boolean =>
      isObject(column) && [column.name, column.type, column.jsonPath].every(isText)
    if (columns !== undefined && !isList(columns, isColumn))
      issues.push(
        wrong(`${field}.additionalPrinterColumns`, columns, 'each has a name, a type and a jsonPath'),
      )
  }
  return issues
}

/** An API server knows what metadata is: a definition may only narrow an object's name. */
function metadataIssues({ properties }: JsonObject): FieldIssue[] {
  const metadata = isObject(properties) ? properties.metadata : undefined
  if (!isObject(metadata)) return []
  const field = 'spec.validation.openAPIV3Schema.properties[metadata]'
  const { type, properties: narrowed, default: preset, ...more } = metadata
  if (preset !== undefined) return [forbidden(`${field}.default`, 'must not be set in top-level metadata')]
  if (type !== 'object') return [wrong(`${field}.type`, type, 'must be object')]
  const names = Object.keys(isObject(narrowed) ? narrowed : {})
  if (Object.keys(more).length === 0 && names.every((name) => /^(name|generateName)$/.test(name))) return []
  return [
    forbidden(
      field,
      'must not specify anything other than name and generateName, but metadata is implicitly specified',
    ),
  ]
}

function forbidden(field: string, why: string): FieldIssue {
  return { field, reason: 'FieldValueForbidden', message: `Forbidden: ${why}` }
}

/** Of a schema's own shape: what later walks through it trusts it. */
function schemaIssues(schema: JsonObject, field: string): FieldIssue[] {
  const below: [string, unknown][] = Object.entries(isObject(schema.properties) ? schema.properties : {}).map(
    ([name, property]) => [`${field}.properties[${name}]`, property],
  )
  if (schema.items !== undefined) below.push([`${field}.items`, schema.items])
  if (isObject(schema.additionalProperties))
    below.push([`${field}.additionalProperties`, schema.additionalProperties])
  const issues: FieldIssue[] = []
  for (const list of ['required', 'enum', 'x-kubernetes-validations', 'x-kubernetes-list-map-keys'])
    if (schema[list] !== undefined && !Array.isArray(schema[list]))
      issues.push(wrong(`${field}.${list}`, schema[list], 'must be a list'))
  if (schema.pattern !== undefined && !isPattern(schema.pattern))
    issues.push(wrong(`${field}.pattern`, schema.pattern, 'must be a regular expression'))
  for (const [path, property] of below)
    if (isObject(property)) issues.push(...schemaIssues(property, path))
    else issues.push(wrong(path, property, 'must be a schema'))
  return issues
}

function isPattern(pattern: unknown): boolean {
  try {
    return typeof pattern === 'string' && new RegExp(pattern).source !== ''
  } catch {
    return false
  }
}

function ruleIssues(node: unknown): FieldIssue[] {
  if (Array.isArray(node)) return node.flatMap(ruleIssues)
  if (!isObject(node)) return []
  const rules = Array.isArray(node['x-kubernetes-validations']) ? node['x-kubernetes-validations'] : []
  const own = rules.flatMap((each) => {
    const rule = isObject(each) ? String(each.rule) : ''
    const problem = ruleProblem(rule)
    return problem === undefined ? [] : [wrong('spec.versions', rule, `compilation failed: ${problem}`)]
  })
  return [...own, ...Object.values(node).flatMap(ruleIssues)]
}

function costIssues(versions: readonly JsonObject[]): FieldIssue[] {
  return versions.flatMap(({ schema }, index) => {
    const field = `spec.versions[${index}].schema.openAPIV3Schema`
    const rules = estimateRules((schema as JsonObject).openAPIV3Schema as Schema)
    const whole = rules.reduce((sum, { cost }) => sum + cost, 0)
    return [
      ...rules
        .filter(({ cost }) => cost > mostPerRule)
        .map(({ path, cost }) => tooDear(`${field} (${path})`, 'rule cost', cost / mostPerRule)),
      ...(whole > mostPerDefinition
        ? [tooDear(field, 'rule cost total for entire OpenAPIv3 schema', whole / mostPerDefinition)]
        : []),
    ]
  })
}

function tooDear(field: string, what: string, factor: number): FieldIssue {
  return {
    field,
    reason: 'FieldValueForbidden',
    message: `Forbidden: estimated ${what} exceeds budget by factor of ${factor > 100 ? 'more than 100' : factor.toFixed(1)}x (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)`,
  }
}
