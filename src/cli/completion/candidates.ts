import type { Command, Option } from 'commander'
import { valuesOf } from './values.ts'

export interface Candidate {
  readonly value: string
  readonly description?: string
}

/** kubectl defines these numbers for the completions of its plugins. The shell scripts use the same ones. */
export const directives = { default: 0, noSpace: 2, noFiles: 4, folders: 16 } as const

export interface Completion {
  readonly candidates: readonly Candidate[]
  readonly directive: number
}

const nothing: Completion = { candidates: [], directive: directives.noFiles }

/** Completes the last of `words`, the words after the program's name. The last one may be empty. */
export function complete(program: Command, words: readonly string[]): Completion {
  const before = words.slice(0, -1)
  const current = words.at(-1) ?? ''
  const place = walk(program, before)
  if (place === undefined) return nothing
  const completion = completionAt(place, current)
  return {
    ...completion,
    candidates: completion.candidates.filter(({ value }) => value.startsWith(current)),
  }
}

interface Place {
  readonly command: Command
  /** An option that still needs its value. */
  readonly pending?: Option
  /** Number of words so far that are neither command nor option. */
  readonly argumentCount: number
}

/** Undefined after `--`, because those words belong to another program. */
function walk(program: Command, words: readonly string[]): Place | undefined {
  let place: Place = { command: program, argumentCount: 0 }
  for (const word of words) {
    const { command, pending, argumentCount } = place
    if (word === '--') return undefined
    if (pending !== undefined) place = { command, argumentCount }
    else if (word.startsWith('-')) {
      const option = takesValue(optionsOf(command).find(({ short, long }) => word === short || word === long))
      place = { command, argumentCount, ...(option && { pending: option }) }
    } else {
      const next = command.commands.find((each) => each.name() === word || each.aliases().includes(word))
      place = next ? { command: next, argumentCount: 0 } : { command, argumentCount: argumentCount + 1 }
    }
  }
  return place
}

function completionAt({ command, pending, argumentCount }: Place, current: string): Completion {
  if (pending !== undefined) return valuesOf(pending, current)
  const [, flag] = /^(--[^=]+)=/.exec(current) ?? []
  if (flag !== undefined) return valuesAfterEquals(command, flag, current)
  if (current.startsWith('-'))
    return { candidates: optionsOf(command).map(asCandidate), directive: directives.noFiles }
  const argument = command.registeredArguments[argumentCount]
  const choices = (argument?.argChoices ?? []).map((value) => ({ value }))
  return { candidates: [...commandsOf(command), ...choices], directive: directives.noFiles }
}

/** `--output=json` is one word, and the completion replaces all of it. */
function valuesAfterEquals(command: Command, flag: string, current: string): Completion {
  const option = takesValue(optionsOf(command).find(({ long }) => long === flag))
  if (option === undefined) return nothing
  const { candidates, directive } = valuesOf(option, current.slice(flag.length + 1))
  return { candidates: candidates.map((each) => ({ ...each, value: `${flag}=${each.value}` })), directive }
}

const optionsOf = (command: Command): readonly Option[] => command.createHelp().visibleOptions(command)

function takesValue(option: Option | undefined): Option | undefined {
  return option?.required || option?.optional ? option : undefined
}

const asCandidate = ({ long, short, description }: Option): Candidate => ({
  value: long ?? short ?? '',
  description,
})

function commandsOf(command: Command): readonly Candidate[] {
  return command
    .createHelp()
    .visibleCommands(command)
    .map((each) => ({ value: each.name(), description: each.description() }))
}

/** One candidate per line, with its description after a tab. The directive is the last line. */
export function formatCompletion({ candidates, directive }: Completion): string {
  const lines = candidates.map(({ value, description }) =>
    description ? `${value}\t${description.replace(/\s+/g, ' ')}` : value,
  )
  return [...lines, `:${directive}`].join('\n')
}
