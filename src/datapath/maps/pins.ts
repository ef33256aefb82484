import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, rmdirSync, rmSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import type { Btf } from '../layout/btf.ts'

/**
 * The pins of maps. `mappings-3f2a…` is a map's name and a hash of its layout. Object files with the same layout of a map
 * share it over a restart or an upgrade, with every mapping and lease. So old bytes are never read with a new meaning.
 */
export class Pins {
  readonly #directory: string
  readonly #names: ReadonlyMap<string, string>

  constructor(directory: string, btf: Btf) {
    this.#directory = directory
    this.#names = new Map(
      [...btf.maps].map(([name, layout]) => [
        name,
        `${name}-${createHash('sha256').update(JSON.stringify(layout)).digest('hex').slice(0, 12)}`,
      ]),
    )
    mkdirSync(directory, { recursive: true, mode: 0o700 })
  }

  path(map: string): string {
    return join(this.#directory, this.#names.get(map) ?? map)
  }

  remove(map: string): void {
    rmSync(this.path(map), { force: true })
  }

  /** For each map, the pin of a map with the same name and another layout. */
  earlier(): ReadonlyMap<string, string> {
    const found = new Map<string, string>()
    for (const pin of this.#others()) {
      const name = pin.replace(/-[0-9a-f]{12}$/, '')
      if (this.#names.has(name)) found.set(name, join(this.#directory, pin))
    }
    return found
  }

  removeOthers(): void {
    for (const pin of this.#others()) unlinkSync(join(this.#directory, pin))
  }

  #others(): readonly string[] {
    const own = new Set(this.#names.values())
    return readdirSync(this.#directory).filter((pin) => !own.has(pin))
  }
}

/** All pins, including those of other programs. */
export function unpinAll(directory: string): void {
  for (const pin of readdirSync(directory)) unlinkSync(join(directory, pin))
  rmdirSync(directory)
}
