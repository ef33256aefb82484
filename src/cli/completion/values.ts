import type { Option } from 'commander'
import type { Setting } from '../../install/settings/setting.ts'
import { settings } from '../../install/settings/settings.ts'
import { type Candidate, type Completion, directives } from './candidates.ts'

/** The values that an option accepts. Options with the same name and value accept the same values in every command. */
export function valuesOf({ long, flags, argChoices }: Option, current: string): Completion {
  if (argChoices) return { candidates: argChoices.map((value) => ({ value })), directive: directives.noFiles }
  switch (long) {
    case '--set':
      return settingsAt(settings.filter(isPlain), current)
    case '--set-json':
      return settingsAt(settings, current)
    case '--values':
    case '--kubeconfig':
    case '--filename':
    case '--output-filename':
      return { candidates: [], directive: directives.default }
    case '--to': {
      const isFolder = flags.includes('<folder>')
      return { candidates: [], directive: isFolder ? directives.folders : directives.noFiles }
    }
    default:
      return { candidates: [], directive: directives.noFiles }
  }
}

const isPlain = ({ kind }: Setting): boolean => kind !== 'map' && kind !== 'object' && kind !== 'objects'

/** Completes the path of a setting, and after "=" its values, or its default as an example. */
function settingsAt(known: readonly Setting[], current: string): Completion {
  const chosen = known.find(({ path }) => current.startsWith(`${path}=`))
  if (chosen === undefined)
    return { candidates: known.map(pathCandidate), directive: directives.noFiles | directives.noSpace }
  return {
    candidates: valuesOfSetting(chosen).map((value) => ({ value: `${chosen.path}=${value}` })),
    directive: directives.noFiles,
  }
}

function pathCandidate({ path, help }: Setting): Candidate {
  return { value: `${path}=`, description: help }
}

function valuesOfSetting({ kind, choices, fallback }: Setting): readonly string[] {
  if (choices) return choices
  if (kind === 'boolean') return ['true', 'false']
  return fallback === '' ? [] : [fallback]
}
