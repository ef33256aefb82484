import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'yaml'

/** Requests that the embedded API server answers in another way, and why that hides no fault of ours. */
export interface Listed {
  readonly reason: string
  /** The answer depends on what came first, there as here: it may be equal or not. */
  readonly varies?: boolean
  readonly entries: readonly string[]
}

const folder = join(import.meta.dirname, '../recorded/listed')

export function readListed(file: string): readonly Listed[] {
  const path = join(folder, `${file}.yaml`)
  return existsSync(path) ? ((parse(readFileSync(path, 'utf8')) as Listed[] | null) ?? []) : []
}
