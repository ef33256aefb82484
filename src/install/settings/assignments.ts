import { distance } from 'fastest-levenshtein'
import { isStructured, type Setting } from './setting.ts'
import { settings } from './settings.ts'
import { canonicalJson, mergeStructures, nestUnder, parseJson } from './structured-value.ts'
import { valueSchema } from './value.ts'

export type Parsed<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly issues: readonly string[] }

/** The path of a setting, and its value as text. */
export type Assignment = readonly [path: string, value: string | undefined]

/** Parses `--set a.b=c` and `--set devices={eth+,net+}`. Like in Helm, commas outside braces separate several assignments. */
export function assignmentsIn(sets: readonly string[]): readonly Assignment[] {
  return sets
    .flatMap((set) => set.match(/(?:\{[^}]*\}|[^,{])+/g) ?? [])
    .map((assignment) => {
      const at = assignment.indexOf('=')
      if (at < 0) return [assignment, undefined]
      return [assignment.slice(0, at), assignment.slice(at + 1).replace(/^\{(.*)\}$/, '$1')]
    })
}

/**
 * Returns the values by ConfigMap key, or all issues at once. Of two assignments to one setting, the later wins. Objects are merged into
 * the previous value.
 */
export function parseAssignments(
  assignments: readonly Assignment[],
  before: Readonly<Record<string, string>> = {},
): Parsed<Record<string, string>> {
  const issues: string[] = []
  const data: Record<string, string> = {}
  for (const [path, given] of assignments) {
    const setting = settings.find((each) => each.path === path || isInside(each, path))
    if (setting === undefined) {
      issues.push(`unknown setting ${path}: did you mean ${nearest(path)}?`)
      continue
    }
    if (given === undefined) {
      issues.push(`${path} has no value: write ${path}=…`)
      continue
    }
    const { key, kind, fallback } = setting
    const text = isStructured(kind)
      ? merged(setting, path, given, data[key] ?? before[key] ?? fallback)
      : given
    const { error } = valueSchema(setting).safeParse(text)
    if (error === undefined) data[key] = text
    else issues.push(...error.issues.map(({ message }) => `${path}: ${message}`))
  }
  return issues.length > 0 ? { ok: false, issues } : { ok: true, value: data }
}

/** `nodeSelector.disktype` sets a key of the map `nodeSelector`. */
const isInside = ({ kind, path: outer }: Setting, path: string): boolean =>
  (kind === 'map' || kind === 'object') && path.startsWith(`${outer}.`)

function merged(setting: Setting, path: string, given: string, before: string): string {
  const isWhole = path === setting.path
  const value = isWhole ? parseJson(given) : nestUnder(path.slice(setting.path.length + 1), given)
  return value === undefined ? given : canonicalJson(mergeStructures(parseJson(before), value))
}

/** The setting whose name needs the fewest edits. */
function nearest(path: string): string {
  const edits = (other: string): number => distance(path.toLowerCase(), other.toLowerCase())
  return settings.map((setting) => setting.path).sort((a, b) => edits(a) - edits(b))[0] ?? ''
}
