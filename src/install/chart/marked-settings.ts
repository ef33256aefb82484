import type { Setting } from '../settings/setting.ts'
import { settings } from '../settings/settings.ts'
import { imageTagKey } from '../settings/workload-settings.ts'

/*
 * The chart's templates are rendered from the manifests of an install whose settings are marks, which are strings and numbers that occur
 * nowhere else. Each mark in the rendered YAML becomes the expression of its setting.
 */

const firstNumber = 970_000
const textMark = (key: string): string => `__${key}__`
const numberMark = (index: number): string => String(firstNumber + index)

/** A ConfigMap in which every setting is its mark, and every option is enabled. */
export const markedConfigMap: Readonly<Record<string, string>> = Object.fromEntries(
  settings.map(({ key, kind, choices }, index) => [key, markOf(key, kind, index, choices)]),
)

function markOf(key: string, kind: Setting['kind'], index: number, choices: Setting['choices']): string {
  if (kind === 'boolean') return 'true'
  /* The manifests depend on its value. */
  if (key === 'cni-chaining-mode') return choices?.at(-1) ?? ''
  if (kind === 'integer') return numberMark(index)
  if (kind === 'objects') return JSON.stringify([{ [textMark(key)]: '' }])
  return kind === 'map' || kind === 'object' ? JSON.stringify({ [textMark(key)]: '' }) : textMark(key)
}

/** The setting in a template: `.Values.image.tag`. */
export const expressionOf = ({ path, key }: Setting): string =>
  key === imageTagKey ? `(.Values.${path} | default .Chart.AppVersion)` : `.Values.${path}`

const structures = ['map', 'object', 'objects']

/** A line of the rendered YAML as a line of a template. */
export function unmark(line: string): string {
  const indent = /^ */.exec(line)?.[0] ?? ''
  const marked = settings.filter((setting) => line.includes(markIn(setting)))
  const [only] = marked
  if (only === undefined) return line
  if (structures.includes(only.kind))
    return `${indent}{{- toYaml ${expressionOf(only)} | nindent ${indent.length} }}`
  if (only.kind === 'list') {
    const item = line.replace(textMark(only.key), '{{ . | quote }}')
    return `${indent}{{- range ${expressionOf(only)} }}\n${item}\n${indent}{{- end }}`
  }
  return unmarkValue(line, marked)
}

/** A value that is one mark becomes one expression. A value that contains marks becomes a quoted string: `"{{ … }}:{{ … }}"`. */
function unmarkValue(line: string, marked: readonly Setting[]): string {
  const [, before = '', value = ''] = /^( *(?:- )?(?:[\w./-]+: )?)(.*)$/.exec(line) ?? []
  const [only] = marked
  if (only !== undefined && value === markIn(only))
    return `${before}{{ ${expressionOf(only)} | ${only.kind === 'integer' ? 'int64' : 'quote'} }}`
  const inside = marked.reduce(
    (text, each) =>
      text.replaceAll(
        markIn(each),
        `{{ ${expressionOf(each)}${each.kind === 'integer' ? ' | int64' : ''} }}`,
      ),
    value,
  )
  return `${before}${value.startsWith('"') ? inside : `"${inside}"`}`
}

const markIn = (setting: Setting): string =>
  setting.kind === 'integer' ? numberMark(settings.indexOf(setting)) : textMark(setting.key)

/** The line of a setting in the ConfigMap. */
export function configMapLine(setting: Setting): string {
  const value = expressionOf(setting)
  const text = {
    integer: `${value} | int64 | quote`,
    list: `join "," ${value} | quote`,
    cidrs: `join "," ${value} | quote`,
    portRanges: `join "," ${value} | quote`,
    map: `${value} | toRawJson | quote`,
    object: `${value} | toRawJson | quote`,
    objects: `${value} | toRawJson | quote`,
  }[setting.kind as string]
  return `${setting.key}: {{ ${text ?? `${value} | quote`} }}`
}
