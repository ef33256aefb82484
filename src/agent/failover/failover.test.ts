import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { egressIp, owner, self, tablesWith } from '../../../test/support/failover-under-test.ts'
import { enterPrivateNamespaces, privateNamespacesRefused } from '../../../test/support/private-namespaces.ts'
import type { Datapath } from '../../datapath/datapath.ts'
import { deleteAddress, listAddresses, putAddress } from '../../linux/device-addresses.ts'
import { createBridge, deleteDevice, findDevice, setDevice } from '../../linux/devices.ts'
import { linuxMachine } from '../../linux/machine.ts'
import { Netlink } from '../../linux/netlink.ts'
import { systemClock } from '../../runtime/clock.ts'
import { createLog } from '../../runtime/log.ts'
import { listNodeDevices } from '../node/node-network.ts'
import { Failover } from './failover.ts'
import { type FromProber, flagIndex, type ToProber } from './pulse/messages.ts'

const skip = privateNamespacesRefused
const directory = mkdtempSync(join(tmpdir(), 'sallyport-failover-'))
after(() => rmSync(directory, { recursive: true }))
if (!skip) enterPrivateNamespaces()

const isUnreachable: FromProber = {
  kind: 'verdicts',
  changes: [[owner, { isUnreachable: true, isWitnessed: true }]],
}
const isReachable: FromProber = {
  kind: 'verdicts',
  changes: [[owner, { isUnreachable: false, isWitnessed: false }]],
}

describe('on a real device', { skip }, () => {
  let netlink: Netlink
  let index = 0
  let nowMs = 1_000_000
  let files = 0
  let report: (report: FromProber) => void = () => {}
  let flags: Int32Array = new Int32Array(2)
  let sent: ToProber[] = []
  let isStopped = false
  const clock = { ...systemClock, monotonicMs: () => nowMs }

  before(() => {
    netlink = new Netlink()
    createBridge(netlink, { name: 'link0', mtu: 1500 })
    index = findDevice(netlink, 'link0')?.index ?? 0
    setDevice(netlink, index, { isUp: true })
    putAddress(netlink, { index, address: self, prefixLength: 24 })
  })
  after(() => {
    deleteDevice(netlink, index)
    netlink[Symbol.dispose]()
  })

  const isOnDevice = (): boolean =>
    listAddresses(netlink).some(({ address, prefixLength }) => address === egressIp && prefixLength === 32)

  const start = (statePath: string): Failover =>
    new Failover({
      self: 'node',
      tables: {
        liveness: { get: () => undefined },
        egress_ips: { count: () => 0 },
        probed_gateways: { get: () => undefined },
      } as unknown as Datapath['tables'],
      datapath: { present: () => [] },
      netlink,
      machine: { ...linuxMachine, announce: () => {} },
      receivesNothing: () => false,
      configuration: { probesAddresses: true },
      startProber: (options) => {
        report = options.report
        flags = options.flags
        return {
          send: (message) => {
            sent.push(message)
            if (message.kind === 'leave') queueMicrotask(() => report({ kind: 'left' }))
          },
          stop: async () => {
            isStopped = true
          },
        }
      },
      statePath,
      clock,
      log: createLog('test', 'silent'),
      onChange: () => {},
      relist: async () => {},
      settle: async () => {},
    })

  /** Tables that have the node as the owner's successor. */
  const apply = (failover: Failover): void =>
    failover.dispatch({
      kind: 'tablesApplied',
      tables: tablesWith({ [egressIp]: [owner, self] }),
      lingering: new Map(),
      devices: listNodeDevices(netlink),
    })

  test('an egress IP is taken over, kept by the next agent, and handed back', () => {
    const statePath = join(directory, `${files++}.json`)
    const first = start(statePath)
    apply(first)
    report(isUnreachable)
    assert.equal(isOnDevice(), true)
    const next = start(statePath)
    apply(next)
    assert.equal(isOnDevice(), true)
    report(isReachable)
    nowMs += 5_000
    next.dispatch({ kind: 'tick', receivesNothing: false })
    assert.equal(isOnDevice(), false)
  })

  test('an egress IP that an administrator configured is never removed', () => {
    putAddress(netlink, { index, address: egressIp, prefixLength: 32 })
    const failover = start(join(directory, `${files++}.json`))
    apply(failover)
    report(isUnreachable)
    report(isReachable)
    nowMs += 60_000
    failover.dispatch({ kind: 'tick', receivesNothing: false })
    assert.equal(isOnDevice(), true)
    deleteAddress(netlink, { index, address: egressIp, prefixLength: 32 })
  })

  test('the agent rejoins when it starts, and its prober leaves when it stops', async () => {
    const stop = new AbortController()
    sent = []
    const failover = start(join(directory, `${files++}.json`))
    const running = failover.start(stop.signal)
    assert.equal(Atomics.load(flags, flagIndex.aliveAfterAbsence), 0)
    await setImmediate()
    assert.equal(Atomics.load(flags, flagIndex.aliveAfterAbsence), 1)
    stop.abort()
    await running
    assert.equal(sent.at(-1)?.kind, 'leave')
    assert.ok(isStopped)
  })
})
