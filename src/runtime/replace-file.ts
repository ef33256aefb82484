import { chmodSync, copyFileSync, renameSync, writeFileSync } from 'node:fs'

type Content = string | { readonly copyOf: string }

/**
 * Writes a file beside the one at `path` and renames it over that one. A reader, or the next start after a kill, finds the old file
 * or the new one, never half of one. A process that has the old file open keeps it.
 *
 * `mode` holds whatever the umask is. By default a text has the mode of new files, and a copy that of its source. A failure throws and
 * leaves the old file as it was. What it leaves beside, `path.new`, is overwritten by the next attempt.
 *
 * There is no fsync: after a crash of the machine the file may be empty.
 */
export function replaceFile(path: string, content: Content, mode?: number): void {
  const beside = `${path}.new`
  if (typeof content === 'string') writeFileSync(beside, content, mode === undefined ? {} : { mode })
  else copyFileSync(content.copyOf, beside)
  if (mode !== undefined) chmodSync(beside, mode)
  renameSync(beside, path)
}
