import { closeSync, openSync } from 'node:fs'
import { check, native } from './libc.ts'

const cloneNewnet = 0x40000000

let home: number | undefined

/**
 * Runs `work` with this thread in another network namespace. Synchronous calls, new sockets and spawned processes belong to that namespace.
 * The sockets stay there.
 *
 * `work` must be synchronous, because asynchronous work would continue in this thread's own namespace. If it returns a promise, this function
 * throws. Calls such as net.connect, fetch and fs.promises would go unnoticed: do not make them in `work`.
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
    /* If the thread cannot return, all later calls would act on the wrong namespace. */
    if (native.setns(home, cloneNewnet) < 0) process.abort()
  }
}
