import { type Logger, pino } from 'pino'

export type { Logger }

/** Writes one line of JSON for each event to standard error, because standard output is for the command's result. */
export function createLog(name: string, level: string): Logger {
  return pino({ name, level, base: { name }, timestamp: pino.stdTimeFunctions.isoTime }, pino.destination(2))
}
