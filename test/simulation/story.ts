import type { Logger } from '../../src/runtime/log.ts'
import type { VirtualClock } from './virtual-clock.ts'

/** Of a failure, so many lines are printed. */
const shownLines = 80
const keptLines = 4000

/** What happened in a simulation, a sentence a line, for the reader of a failure. */
export class Story {
  readonly #clock: VirtualClock
  readonly #listener: ((line: string) => void) | undefined
  #lines: string[] = []

  constructor(clock: VirtualClock, listener?: (line: string) => void) {
    this.#clock = clock
    this.#listener = listener
  }

  tell(who: string, what: string): void {
    const line = `${this.#time().padStart(9)}  ${who.padEnd(9)} ${what}`
    this.#lines.push(line)
    if (this.#lines.length > keptLines * 2) this.#lines = this.#lines.slice(-keptLines)
    this.#listener?.(line)
  }

  /** `2:03.450` is two minutes and 3.45 s after the beginning. */
  #time(): string {
    const ms = Math.floor(this.#clock.nowMs)
    const seconds = ((ms % 60_000) / 1000).toFixed(3).padStart(6, '0')
    return `${Math.floor(ms / 60_000)}:${seconds}`
  }

  get lines(): readonly string[] {
    return this.#lines
  }

  end(count = shownLines): string {
    return this.#lines.slice(-count).join('\n')
  }
}

/** What a process logs is part of the story; its debug messages are not. */
export function storyLog(story: Story, who: string, isSilent: () => boolean): Logger {
  const at =
    (level: string) =>
    (first: unknown, second?: string): void => {
      if (isSilent()) return
      const text = typeof first === 'string' ? first : (second ?? '')
      const fields = typeof first === 'string' ? '' : describeFields(first)
      story.tell(who, `${level}${text}${fields === '' ? '' : ` (${fields})`}`)
    }
  const nothing = (): void => {}
  const log = { level: 'info', trace: nothing, debug: nothing, info: at('') }
  return { ...log, warn: at('warns: '), error: at('error: '), fatal: at('fatal: ') } as unknown as Logger
}

function describeFields(fields: unknown): string {
  return Object.entries(fields as Record<string, unknown>)
    .map(([key, value]) => (value instanceof Error ? value.message : `${key}: ${asText(value)}`))
    .join(', ')
}

function asText(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? String(value))
}
