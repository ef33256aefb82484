import { type Command, Option } from 'commander'

/** An unknown format is a usage error, because a program that expects that format could not parse text. */
export function outputOption(description = 'print JSON for programs'): Option {
  return new Option('-o, --output <format>', description).choices(['json'])
}

const collect = (value: string, before: readonly string[] = []): readonly string[] => [...before, value]

/** Adds the options by which a user gives settings. They have the names of Helm's options. */
export function takeSettings(command: Command): Command {
  return command
    .option('--set <path=value>', 'change a setting, for example --set mtu=1400; can be repeated', collect)
    .option('--set-json <path=json>', 'change a map or a list, as JSON; can be repeated', collect)
    .option('-f, --values <file>', 'read settings from a YAML file')
}
