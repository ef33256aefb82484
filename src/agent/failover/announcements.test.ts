import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { enterPrivateNamespaces, privateNamespacesRefused } from '../../../test/support/private-namespaces.ts'
import { putAddress } from '../../linux/device-addresses.ts'
import { createVeth, findDevice, setDevice } from '../../linux/devices.ts'
import { check, native } from '../../linux/libc.ts'
import { linuxMachine } from '../../linux/machine.ts'
import { Netlink } from '../../linux/netlink.ts'
import { type Address, parseAddress } from '../../net/address.ts'
import { systemClock } from '../../runtime/clock.ts'
import { createLog } from '../../runtime/log.ts'
import { Announcements } from './announcements.ts'

const skip = privateNamespacesRefused
if (!skip) enterPrivateNamespaces()

const ip = (text: string): Address => parseAddress(text) as Address
const self = ip('192.0.2.11')

/** The other end of a link: what of ARP and of neighbour advertisements arrives there. */
class Wire implements Disposable {
  readonly #fd: number
  readonly heard: string[] = []

  constructor(index: number) {
    this.#fd = check('open a packet socket', native.socket(17, 3 | 0x80000, 0))
    const everything = Buffer.alloc(20)
    everything.writeUInt16LE(17, 0)
    everything.writeUInt16BE(3, 2)
    everything.writeUInt32LE(index, 4)
    check('listen on the wire', native.bind(this.#fd, everything, everything.length))
  }

  /** Until so many have come, and until the last was due, and a little longer. */
  async listen(least: number): Promise<readonly string[]> {
    const end = systemClock.monotonicMs() + 1_900
    for (; systemClock.monotonicMs() < end || this.heard.length < least; await setTimeout(10)) this.read()
    return this.heard
  }

  /** What has come until now. */
  read(): readonly string[] {
    const frame = Buffer.alloc(2048)
    while (native.recv(this.#fd, frame, frame.length, 0x40) > 0) this.#read(frame)
    return this.heard
  }

  #read(frame: Buffer): void {
    const type = frame.readUInt16BE(12)
    if (type === 0x0806)
      this.heard.push(
        `${frame.readUInt16BE(20) === 1 ? 'request' : 'reply'} ${[...frame.subarray(28, 32)].join('.')}`,
      )
    const isAdvertisement = type === 0x86dd && frame.readUInt8(20) === 58 && frame.readUInt8(54) === 136
    if (isAdvertisement) this.heard.push(`advertisement of …${frame.subarray(76, 78).toString('hex')}`)
  }

  [Symbol.dispose](): void {
    native.close(this.#fd)
  }
}

function count(heard: readonly string[]): Readonly<Record<string, number>> {
  return Object.fromEntries(
    [...Map.groupBy(heard, (what) => what)].map(([what, each]) => [what, each.length]),
  )
}

describe('on the wire', { skip, concurrency: false, timeout: 60_000 }, () => {
  let netlink: Netlink
  let index = 0
  let wireIndex = 0
  let skippedNs = 0n
  let announcements: Announcements
  /* Time stands still but for what a test skips: on a busy machine a timer may come as late as after a pause. */
  const startNs = systemClock.monotonicNs()
  const clock = { ...systemClock, monotonicNs: () => startNs + skippedNs }
  const own = (): string => findDevice(netlink, 'link0')?.mac ?? ''

  before(async () => {
    netlink = new Netlink()
    createVeth(netlink, { name: 'link0', mtu: 1500, peer: { name: 'wire0', mtu: 1500 } })
    index = findDevice(netlink, 'link0')?.index ?? 0
    wireIndex = findDevice(netlink, 'wire0')?.index ?? 0
    for (const each of [index, wireIndex]) setDevice(netlink, each, { isUp: true })
    putAddress(netlink, { index, address: self, prefixLength: 24 })
    putAddress(netlink, { index, address: ip('fd00::11'), prefixLength: 64 })
    putAddress(netlink, { index, address: ip('192.0.2.41'), prefixLength: 32 })
    /* The kernel drops frames until it has noticed that both ends are up. */
    using wire = new Wire(wireIndex)
    for (; !wire.read().includes('request 192.0.2.99'); await setTimeout(10))
      linuxMachine.announce({ index, mac: own() }, ip('192.0.2.99'))
  })
  after(() => netlink[Symbol.dispose]())
  beforeEach(() => {
    skippedNs = 0n
    announcements = new Announcements({ machine: linuxMachine, clock, log: createLog('test', 'silent') })
  })
  const announce = (text: string): void => {
    announcements.announce(ip(text), { index, mac: own() })
  }

  test('an address is announced five times, in each form that neighbours listen for', async () => {
    using wire = new Wire(wireIndex)
    for (const each of ['192.0.2.42', 'fd00::42']) announce(each)
    assert.deepEqual(count(await wire.listen(15)), {
      'request 192.0.2.42': 5,
      'reply 192.0.2.42': 5,
      'advertisement of …0042': 5,
    })
  })

  test('what was decided before a node stood still is not announced after it', async () => {
    using wire = new Wire(wireIndex)
    announce('192.0.2.41')
    skippedNs = 10_000_000_000n
    assert.deepEqual(await wire.listen(0), [])
  })

  test('what is stopped is not announced any more', async () => {
    using wire = new Wire(wireIndex)
    for (const each of ['192.0.2.41', '192.0.2.42']) announce(each)
    announcements.stop(ip('192.0.2.41'))
    announcements.stopAll()
    assert.deepEqual(await wire.listen(0), [])
  })
})
