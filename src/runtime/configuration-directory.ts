import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'

/** A mounted ConfigMap: a file for each key. The kubelet's own bookkeeping begins with two dots. */
export function readConfigurationDirectory(directory: string): Record<string, string> {
  if (!existsSync(directory)) return {}
  const names = readdirSync(directory).filter(
    (name) => !name.startsWith('..') && statSync(join(directory, name)).isFile(),
  )
  return Object.fromEntries(names.map((name) => [name, readFileSync(join(directory, name), 'utf8').trim()]))
}
