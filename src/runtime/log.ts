import { type Logger, pino } from 'pino'

export type { Logger }

/** One line of JSON for each event, on standard error: standard output belongs to whoever asked for something. */
export function createLog(name: string, level: string): Logger {
  return pino({ name, level, base: { name }, timestamp: pino.stdTimeFunctions.isoTime }, pino.destination(2))
}
