import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { UserError } from '../user-error.ts'

export interface PageFiles {
  readonly html: string
  readonly style: string
  readonly script: string
}

/** Reads the built page of a checkout. Packages replace this module with one that contains the page. */
export function readPage(): PageFiles {
  const root = join(import.meta.dirname, '../../..')
  const script = join(root, 'build/ui/page.js')
  if (!existsSync(script)) throw new UserError('the page is not built: run "make build" in the checkout')
  const read = (name: string): string => readFileSync(join(root, 'src/ui/page', name), 'utf8')
  return { html: read('page.html'), style: read('page.css'), script: readFileSync(script, 'utf8') }
}
