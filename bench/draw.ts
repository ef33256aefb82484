import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { drawFailover, drawResults } from './picture.ts'

/** Redraws both pictures from the checked-in measurements. It measures nothing. */
const read = (name: string) => JSON.parse(readFileSync(join(import.meta.dirname, name), 'utf8'))

export const pictures: Readonly<Record<string, () => string>> = {
  'failover.svg': () => drawFailover(read('failover.json')),
  'results.svg': () => drawResults(read('results.json')),
}

if (import.meta.main)
  for (const [name, draw] of Object.entries(pictures)) writeFileSync(join(import.meta.dirname, name), draw())
