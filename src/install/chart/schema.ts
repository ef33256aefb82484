import type { Setting } from '../settings/setting.ts'
import { settings } from '../settings/settings.ts'
import type { Json } from '../settings/structured-value.ts'
import { imageTagKey } from '../settings/workload-settings.ts'
import { chartSettings, helpOf } from './values.ts'

type Schema = { readonly [key: string]: Json }

/** Renders values.schema.json. It refuses what `install` refuses, as far as a schema can. Go's patterns have no look-ahead. */
export function renderSchema(): string {
  const leaves: [path: string, schema: Schema][] = [
    ...settings.map((each): [string, Schema] => [
      each.path,
      { description: helpOf(each), ...schemaOf(each) },
    ]),
    ...chartSettings.map(({ path, help, schema }): [string, Schema] => [
      path,
      { description: help, ...(schema as Schema) },
    ]),
    ['global', { description: 'For charts that have this chart as a dependency.', type: 'object' }],
  ]
  const root = { $schema: 'http://json-schema.org/draft-07/schema#', title: 'Sallyport', ...nest(leaves) }
  return `${JSON.stringify(root, undefined, 2)}\n`
}

function nest(leaves: readonly (readonly [path: string, schema: Schema])[]): Schema {
  const properties: Record<string, Schema> = {}
  for (const name of new Set(leaves.map(([path]) => path.split('.')[0] ?? ''))) {
    const inside = leaves.filter(([path]) => path.startsWith(`${name}.`))
    const own = leaves.find(([path]) => path === name)
    properties[name] = own?.[1] ?? nest(inside.map(([path, schema]) => [path.slice(name.length + 1), schema]))
  }
  return { type: 'object', additionalProperties: false, properties }
}

function schemaOf({ key, kind, choices, range, isPowerOfTwo, reserved }: Setting): Schema {
  if (key === imageTagKey) return { type: 'string' }
  if (kind === 'boolean')
    return choices === undefined ? { type: 'boolean' } : { enum: choices.map((each) => each === 'true') }
  /* Helm reads `--set kubeProxyReplacement=true` as a boolean. */
  if (choices !== undefined) {
    const booleans = choices
      .filter((each) => each === 'true' || each === 'false')
      .map((each) => each === 'true')
    return { enum: [...choices, ...booleans] }
  }
  switch (kind) {
    case 'integer':
      return integerSchema(range ?? [0, Number.MAX_SAFE_INTEGER], isPowerOfTwo)
    case 'duration':
      return { type: 'string', pattern: '^([0-9]+([.][0-9]+)?(ms|s|m|h))+$' }
    case 'path':
      return { type: 'string', pattern: '^(/([^/\\s.][^/\\s]*|[.][^/\\s.][^/\\s]*|[.][.][^/\\s]+))+$' }
    case 'endpoint':
      return { type: 'string', pattern: '^(([0-9.]+|\\[[0-9A-Fa-f:.]+\\]):[0-9]{1,5})?$' }
    case 'list':
      return { type: 'array', items: { type: 'string', pattern: '^[^,\\s]+$' } }
    case 'portRange':
      return { type: 'string', pattern: portRangePattern }
    case 'portRanges':
      return { type: 'array', items: { type: ['integer', 'string'], pattern: portRangePattern } }
    case 'cidrs':
      return { type: 'array', items: { type: 'string', pattern: '^[0-9A-Fa-f:.]+/[0-9]{1,3}$' } }
    case 'map':
      return {
        type: 'object',
        additionalProperties: { type: 'string' },
        ...(reserved === undefined
          ? {}
          : { properties: Object.fromEntries(reserved.map((name) => [name, { not: {} }])) }),
      }
    case 'object':
      return { type: 'object' }
    case 'objects':
      return { type: 'array', items: { type: 'object' } }
    default:
      return { type: 'string' }
  }
}

const portRangePattern = '^[0-9]{1,5}(-[0-9]{1,5})?$'

function integerSchema([minimum, maximum]: readonly [number, number], isPowerOfTwo = false): Schema {
  if (!isPowerOfTwo) return { type: 'integer', minimum, maximum }
  const powers = Array.from({ length: 32 }, (_, index) => 2 ** index)
  return { enum: powers.filter((each) => each >= minimum && each <= maximum) }
}
