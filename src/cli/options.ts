import { type Command, Option } from 'commander'

/** A format that nobody knows is a mistake of use: what reads the answer would stumble over text. */
export function outputOption(description = 'json for machines'): Option {
  return new Option('-o, --output <format>', description).choices(['json'])
}

const collect = (value: string, before: readonly string[] = []): readonly string[] => [...before, value]

/** The settings of an install, in the words that Helm has for them. */
export function takeSettings(command: Command): Command {
  return command
    .option('--set <path=value>', 'a setting, for example --set mtu=1400; repeat it for more', collect)
    .option(
      '--set-json <path=json>',
      'a setting that is a map or a list, as JSON; repeat it for more',
      collect,
    )
    .option('-f, --values <file>', 'a YAML file with settings')
}
