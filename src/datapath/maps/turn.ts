import { setImmediate } from 'node:timers/promises'

/** Gives the process a turn between batches of a long table, so that it serves packet records and API calls meanwhile. */
export const takeTurn = (): Promise<void> => setImmediate()
