/**
 * The CNI plugin without types, because it starts for every pod, and removing them would double the time of each start. What
 * Node.js removes types with takes an agent more time and memory than the rest of its start. So fill-cache does it in advance,
 * by running this file. An agent does it itself if its sources have changed since then.
 */
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { join } from 'node:path'

const folder = join(import.meta.dirname, '../../../build/compile-cache')

const readTyped = (): string => readFileSync(join(import.meta.dirname, '../../cni/main.ts'), 'utf8')

/** The name has the checksum of the sources that the file was made from. */
const keptAt = (typed: string): string =>
  join(folder, `cni-${createHash('sha256').update(typed).digest('hex').slice(0, 16)}.mjs`)

export function readPlugin(): string {
  const typed = readTyped()
  const kept = keptAt(typed)
  return existsSync(kept) ? readFileSync(kept, 'utf8') : stripTypeScriptTypes(typed)
}

if (import.meta.main) writeFileSync(keptAt(readTyped()), stripTypeScriptTypes(readTyped()))
