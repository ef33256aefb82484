import { closeSync, openSync } from 'node:fs'
import { check, native } from './libc.ts'

const cloneNewnet = 0x40000000

let home: number | undefined

/**
 * Runs `work` with this thread in another network namespace. Sockets, spawned children and every
 * synchronous call made meanwhile belong there, and sockets stay there for good.
 *
 * Only what is synchronous: a promise would go on in the wrong namespace without a word, so returning one
 * throws. For the same reason never make net.connect, fetch or fs.promises calls inside.
 */
export function withNetns<T>(path: string, work: () => T): T {
  home ??= openSync('/proc/thread-self/ns/net', 'r')
  const target = openSync(path, 'r')
  try {
    check(`enter the network namespace ${path}`, native.setns(target, cloneNewnet))
  } finally {
    closeSync(target)
  }
  try {
    const result = work()
    if (typeof (result as { then?: unknown } | undefined)?.then === 'function')
      throw new TypeError('withNetns: what runs inside must be synchronous')
    return result
  } finally {
    /* Going on in a stranger's namespace would send its packets out of the wrong door. */
    if (native.setns(home, cloneNewnet) < 0) process.abort()
  }
}
