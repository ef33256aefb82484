import { Option } from 'commander'

/** A format that nobody knows is a mistake of use: what reads the answer would stumble over text. */
export function outputOption(description = 'json for machines'): Option {
  return new Option('-o, --output <format>', description).choices(['json'])
}
