import assert from 'node:assert/strict'
import { beforeEach, describe, test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { systemClock } from '../runtime/clock.ts'
import { createLog } from '../runtime/log.ts'
import type { KubeClient, KubeObject } from './client.ts'
import { KubeError } from './kube-error.ts'
import { Leadership } from './leader.ts'

/** A Lease that an API server keeps, or does not answer for. */
class Lease {
  object: (KubeObject & { spec?: { holderIdentity?: string } }) | undefined
  isHanging = false
  #version = 0

  async get(): Promise<unknown> {
    if (this.isHanging) return new Promise(() => {})
    if (this.object === undefined) throw new KubeError('get', 404, { reason: 'NotFound' })
    return this.object
  }

  async create(object: KubeObject): Promise<void> {
    this.#version++
    this.object = { ...object, metadata: { ...object.metadata, resourceVersion: String(this.#version) } }
  }

  replace(object: KubeObject): Promise<void> {
    return this.create(object)
  }
}

describe('a leader', () => {
  let lease: Lease
  let nowMs: number
  let wallMs: number
  let wake: () => void
  let stop: AbortController
  let leadership: Leadership
  let running: Promise<void>
  beforeEach(async () => {
    lease = new Lease()
    nowMs = 1_000_000
    wallMs = 0
    stop = new AbortController()
    const clock = {
      ...systemClock,
      now: () => wallMs,
      monotonicMs: () => nowMs,
      sleep: () =>
        new Promise<void>((resolve) => {
          wake = resolve
        }),
    }
    leadership = new Leadership({ resource: () => lease } as unknown as KubeClient, {
      namespace: 'n', name: 'l', identity: 'a', clock, log: createLog('test', 'silent'),
    }) // biome-ignore format: options
    running = leadership.start(stop.signal, () => {})
    await setImmediate()
  })
  const afterMs = async (ms: number): Promise<boolean> => {
    nowMs += ms
    wake()
    await setImmediate()
    return leadership.isLeader
  }

  test('leads, and while it renews goes on', async () => {
    assert.ok(leadership.isLeader)
    assert.ok(await afterMs(9_000))
    assert.ok(await afterMs(9_000))
    assert.equal(leadership.term, 1)
  })

  test('whose renewal hangs leads until ten seconds after its last renewal', async () => {
    lease.isHanging = true
    assert.ok(await afterMs(9_999))
    assert.ok(!(await afterMs(1)))
  })

  test('leads by the time that passes, whatever the wall clock says', async () => {
    wallMs += 86_400_000
    assert.ok(leadership.isLeader)
    lease.isHanging = true
    wallMs -= 2 * 86_400_000
    assert.ok(!(await afterMs(10_000)))
  })

  test('that was late begins a new term', async () => {
    assert.ok(await afterMs(11_000))
    assert.equal(leadership.term, 2)
  })

  test('that is told to stop leads until its work is done and it releases the Lease', async () => {
    stop.abort()
    wake()
    await running
    assert.ok(leadership.isLeader)
    assert.equal(lease.object?.spec?.holderIdentity, 'a')
    await leadership.release()
    assert.ok(!leadership.isLeader)
    assert.equal(lease.object?.spec?.holderIdentity, '')
  })
})
