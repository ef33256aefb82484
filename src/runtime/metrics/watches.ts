import type { Definitions } from './registry.ts'

/** A watch of the API server, as metrics tell of it. */
export interface WatchView {
  readonly resource: string
  /** Since the API server last sent something: an event, a bookmark or a list. */
  readonly idleMs: number
  /** The last request failed. */
  readonly isStale: boolean
}

/** Bookmarks arrive about once a minute, so a longer time means that changes may be missed. */
export function defineWatches({ gauge }: Definitions, watches: () => readonly WatchView[]): void {
  gauge(
    'sallyport_watch_idle_seconds',
    'Time since the API server last sent something by this watch. Bookmarks arrive about once a minute.',
    ['resource'],
    () => watches().map(({ resource, idleMs }) => [{ resource }, idleMs / 1000]),
  )
  gauge(
    'sallyport_watch_failing',
    '1 if the last request of this watch failed, so that the process works with what it last received.',
    ['resource'],
    () => watches().map(({ resource, isStale }) => [{ resource }, Number(isStale)]),
  )
}
