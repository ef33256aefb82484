import { AsyncLocalStorage } from 'node:async_hooks'
import { syncBuiltinESMExports } from 'node:module'
import timersPromises from 'node:timers/promises'
import type { Random } from './random.ts'
import type { Stop, VirtualClock } from './virtual-clock.ts'

/*
 * Timers, dates and random numbers of JavaScript itself, for code that takes them from there. Whose they are is known by the
 * process that the call comes from, over every await.
 */

/** The owner of these timers may be frozen, or dead. */
export interface TimerOwner {
  after(ms: number, run: () => void): Stop
}

interface Installed {
  readonly clock: VirtualClock
  readonly random: Random
  /** Milliseconds since 1970 when the simulation began. */
  readonly epochMs: number
}

const owners = new AsyncLocalStorage<TimerOwner>()
const realDate = Date

let current: Installed | undefined

/** Runs `what` and all that follows from it as that owner. */
export function runAs<T>(owner: TimerOwner, what: () => T): T {
  return owners.run(owner, what)
}

interface Handle {
  stop: Stop
  unref(): Handle
  ref(): Handle
  hasRef(): boolean
  [Symbol.toPrimitive](): number
}

function handleOf(stop: Stop): Handle {
  const handle: Handle = {
    stop,
    unref: () => handle,
    ref: () => handle,
    hasRef: () => false,
    [Symbol.toPrimitive]: () => 0,
  }
  return handle
}

function after(ms: number, run: () => void): Stop {
  const owner = owners.getStore() ?? current?.clock
  if (owner === undefined) throw new Error('no simulation runs: its timers are not there')
  return owner.after(ms, run)
}

const virtualTimeout = (run: (...words: unknown[]) => void, ms = 0, ...words: unknown[]): Handle =>
  handleOf(after(Math.max(1, ms), () => run(...words)))

function virtualInterval(run: (...words: unknown[]) => void, ms = 0, ...words: unknown[]): Handle {
  const again = (): void => {
    handle.stop = after(Math.max(1, ms), () => {
      again()
      run(...words)
    })
  }
  const handle = handleOf(() => {})
  again()
  return handle
}

const clear = (handle: Handle | undefined): void => handle?.stop()

/** `new Date()` and `Date.now()`; a date that is given is the same as ever. */
function virtualDate(nowMs: () => number): DateConstructor {
  return new Proxy(realDate, {
    construct: (target, words) =>
      words.length === 0 ? new target(nowMs()) : Reflect.construct(target, words),
    get: (target, name) => (name === 'now' ? nowMs : Reflect.get(target, name)),
  })
}

/** From now on this thread has virtual time. */
export function installVirtualTime(installed: Installed): void {
  const { clock, random, epochMs } = installed
  const nowMs = (): number => Math.floor(epochMs + clock.nowMs)
  current = installed
  const replaced = {
    Date: virtualDate(nowMs),
    setTimeout: virtualTimeout,
    setInterval: virtualInterval,
    clearTimeout: clear,
    clearInterval: clear,
    setImmediate: (run: (...words: unknown[]) => void, ...words: unknown[]) =>
      void turn(clock).then(() => run(...words)),
  }
  Object.assign(globalThis, replaced)
  Math.random = () => random.next()
  AbortSignal.timeout = (ms) => {
    const controller = new AbortController()
    after(ms, () => controller.abort(new DOMException('The operation timed out', 'TimeoutError')))
    return controller.signal
  }
  crypto.randomUUID = () => randomUuid(random)
  timersPromises.setImmediate = (<T>(value: T) =>
    turn(clock).then(() => value)) as typeof timersPromises.setImmediate
  syncBuiltinESMExports()
}

/** A process that lets others have a turn loses a moment: packets arrive between two writes of its tables. */
const turnMs = 0.05

function turn(clock: VirtualClock): Promise<void> {
  const owner = owners.getStore()
  if (owner === undefined) return clock.nextTurn()
  return new Promise((resolve) => owner.after(turnMs, resolve))
}

function randomUuid(random: Random): `${string}-${string}-${string}-${string}-${string}` {
  const hex = (digits: number): string =>
    Array.from({ length: digits }, () => random.within(0, 15).toString(16)).join('')
  return `${hex(8)}-${hex(4)}-4${hex(3)}-8${hex(3)}-${hex(12)}`
}
