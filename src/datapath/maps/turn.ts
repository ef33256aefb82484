import { setImmediate } from 'node:timers/promises'
import { type RawMap, readAll } from './maps.ts'

/** Gives the process a turn between batches of a long table, so that it serves packet records and API calls meanwhile. */
export const takeTurn = (): Promise<void> => setImmediate()

/** All entries of a table, at most `perTurn` at once, with a turn for the process after each. */
export async function* readInTurns(
  map: RawMap,
  perTurn: number,
): AsyncGenerator<readonly (readonly [key: Buffer, value: Buffer])[]> {
  for (const chunk of readAll(map))
    for (let from = 0; from < chunk.length; from += perTurn) {
      yield chunk.slice(from, from + perTurn)
      await takeTurn()
    }
}

/** Entries of a table that are counted before the process gets a turn: about 2 ms. */
const countedPerTurn = 4096

/** How many entries a table has. A table can have half a million, and to read it takes a good part of a second. */
export async function countInTurns(map: RawMap): Promise<number> {
  let count = 0
  for await (const some of readInTurns(map, countedPerTurn)) count += some.length
  return count
}
