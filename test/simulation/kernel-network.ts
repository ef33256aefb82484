import { readlinkSync } from 'node:fs'
import { type DeviceAddress, decodeDeviceAddress } from '../../src/linux/device-addresses.ts'
import { KernelError } from '../../src/linux/libc.ts'
import type { Netlink } from '../../src/linux/netlink.ts'
import {
  attribute,
  attributeText,
  attributeU16Be,
  attributeU32,
  decodeAttributes,
  messageFlag,
  messageType,
  type NetlinkMessage,
  nested,
  textOf,
} from '../../src/linux/netlink-message.ts'
import { macBytes } from '../../src/net/mac.ts'
import { addressKey, neighbourKey, routeKey } from './kernel-keys.ts'
import { routeTo } from './route-lookup.ts'

/*
 * Devices, addresses, routes and neighbours of one network namespace, in memory, behind rtnetlink's own messages: the code of
 * src/linux encodes and decodes them as ever. What was asked for is kept as it came, so a listing says what was put.
 */

const link = { address: 1, name: 3, mtu: 4, peer: 5, info: 18, netnsFd: 28 } as const
const info = { kind: 1, data: 2 } as const
const flags = { up: 1, noArp: 0x80, lowerUp: 0x10000 } as const
const vxlanPort = 15
const errno = { noEntry: 2, noSuch: 3, exists: 17, noDevice: 19, addressNotAvailable: 99, unreachable: 101 } as const // biome-ignore format: one line
const linkFixed = 16
/** linux/rtnetlink.h, of routing rules. */
const ruleType = { new: 32, delete: 33, get: 34 } as const

interface LinkState {
  readonly index: number
  readonly name: string
  readonly kind: string | undefined
  readonly mac: string
  mtu: number
  flags: number
  hasCarrier: boolean
  readonly port: Buffer | undefined
  /** Of a veth: the far end, which goes with it. */
  readonly peer: { readonly network: KernelNetwork; readonly index: number } | undefined
}

let devicesMade = 0

/** Devices of all namespaces have MACs of their own, and a seed the same ones each time. */
export function restartDeviceNumbers(): void {
  devicesMade = 0
}

function nextMac(): string {
  const number = ++devicesMade
  const bytes = [0x02, 0, 0, (number >> 16) & 255, (number >> 8) & 255, number & 255]
  return bytes.map((byte) => byte.toString(16).padStart(2, '0')).join(':')
}

export class KernelNetwork {
  readonly #links = new Map<number, LinkState>()
  readonly #addresses = new Map<string, Buffer>()
  readonly #routes = new Map<string, Buffer>()
  readonly #neighbours = new Map<string, Buffer>()
  readonly #rules = new Map<string, Buffer>()
  readonly #namespaces: ReadonlyMap<string, KernelNetwork>
  readonly #listeners = new Set<() => void>()
  #nextIndex = 2
  /** Grows with every change of an address. */
  addressChanges = 0

  /** `namespaces`: others by their path, to put ends of veths into. */
  constructor(namespaces: ReadonlyMap<string, KernelNetwork> = new Map()) {
    this.#namespaces = namespaces
  }

  /** A device that the machine has of itself. */
  addDevice(name: string, mtu = 1500): number {
    return this.#add({ name, kind: undefined, mtu, port: undefined, peer: undefined, isUp: true })
  }

  setCarrier(index: number, hasCarrier: boolean): void {
    const state = this.#links.get(index)
    if (state === undefined) return
    state.hasCarrier = hasCarrier
    this.#changed()
  }

  listen(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  macOf(index: number): string | undefined {
    return this.#links.get(index)?.mac
  }

  get addresses(): readonly DeviceAddress[] {
    return [...this.#addresses.values()].flatMap((payload) => decodeDeviceAddress(payload) ?? [])
  }

  #changed(): void {
    for (const listener of this.#listeners) listener()
  }

  #add({ isUp, ...rest }: Pick<LinkState, 'name' | 'kind' | 'mtu' | 'port' | 'peer'> & { isUp: boolean }) {
    const index = this.#nextIndex++
    const state = { ...rest, index, mac: nextMac(), flags: isUp ? flags.up : 0, hasCarrier: true }
    this.#links.set(index, state)
    this.#changed()
    return index
  }

  /* ---- rtnetlink ---- */

  request(attempted: string, type: number, messageFlags: number, payload: Buffer): void {
    const fail = (code: number): never => {
      throw new KernelError(attempted, code)
    }
    switch (type) {
      case messageType.newLink:
        messageFlags & messageFlag.create ? this.#create(payload, fail) : this.#change(payload, fail)
        return
      case messageType.deleteLink:
        this.#delete(payload.readInt32LE(4), fail)
        return
      case messageType.newAddress:
        if (!this.#links.has(payload.readUInt32LE(4))) fail(errno.noDevice)
        this.addressChanges++
        this.#put(this.#addresses, addressKey(payload), payload)
        return
      case messageType.deleteAddress:
        this.addressChanges++
        this.#remove(this.#addresses, addressKey(payload), () => fail(errno.addressNotAvailable))
        return
      case messageType.newRoute:
        this.#put(this.#routes, routeKey(payload), payload)
        return
      case messageType.deleteRoute:
        this.#remove(this.#routes, routeKey(payload), () => fail(errno.noSuch))
        return
      case ruleType.new:
        this.#put(this.#rules, payload.toString('hex'), payload)
        return
      case ruleType.delete:
        this.#remove(this.#rules, payload.toString('hex'), () => fail(errno.noEntry))
        return
      case messageType.newNeighbour:
        this.#put(this.#neighbours, neighbourKey(payload), payload)
        return
      case messageType.deleteNeighbour:
        this.#remove(this.#neighbours, neighbourKey(payload), () => fail(errno.noEntry))
        return
      default:
        throw new Error(`${attempted}: the simulated kernel knows no request ${type}`)
    }
  }

  dump(attempted: string, type: number, payload: Buffer): NetlinkMessage[] {
    const messages = (payloads: Iterable<Buffer>): NetlinkMessage[] =>
      [...payloads].map((each) => ({ type, flags: 0, sequence: 0, payload: each }))
    switch (type) {
      case messageType.getLink:
        return messages([...this.#links.values()].map(encodeLink))
      case messageType.getAddress:
        return messages(this.#addresses.values())
      case messageType.getRoute: {
        const device = decodeAttributes(payload.subarray(12)).get(4)
        return messages(
          [...this.#routes.values()].filter(
            (route) =>
              route[0] === payload[0] &&
              (device === undefined || decodeAttributes(route.subarray(12)).get(4)?.equals(device)),
          ),
        )
      }
      case ruleType.get:
        return messages([...this.#rules.values()].filter((each) => each[0] === payload[0]))
      case messageType.getNeighbour:
        return messages([...this.#neighbours.values()].filter((each) => each[10] === payload[10]))
      default:
        throw new Error(`${attempted}: the simulated kernel knows no list ${type}`)
    }
  }

  /** Answers with the route to an address. */
  ask(attempted: string, type: number, payload: Buffer): NetlinkMessage {
    if (type !== messageType.getRoute)
      throw new Error(`${attempted}: the simulated kernel knows no question ${type}`)
    const route = routeTo(payload, this.#routes.values(), this.#addresses.values())
    if (route === undefined) throw new KernelError(attempted, errno.unreachable)
    return { type: messageType.newRoute, flags: 0, sequence: 0, payload: route }
  }

  #put(entries: Map<string, Buffer>, key: string, payload: Buffer): void {
    if (entries.get(key)?.equals(payload)) return
    entries.set(key, payload)
    this.#changed()
  }

  #remove(entries: Map<string, Buffer>, key: string, missing: () => never): void {
    if (!entries.delete(key)) missing()
    this.#changed()
  }

  #create(payload: Buffer, fail: (code: number) => never): void {
    const attributes = decodeAttributes(payload.subarray(linkFixed))
    const details = decodeAttributes(attributes.get(link.info) ?? Buffer.alloc(0))
    const kind = textOf(details.get(info.kind) ?? Buffer.alloc(0))
    const data = details.get(info.data)
    const { name, mtu } = nameAndMtu(attributes)
    if ([...this.#links.values()].some((each) => each.name === name)) fail(errno.exists)
    const port = kind === 'vxlan' && data ? decodeAttributes(data).get(vxlanPort) : undefined
    let peer: LinkState['peer']
    if (kind === 'veth' && data !== undefined) {
      const far = decodeAttributes((decodeAttributes(data).get(1) as Buffer).subarray(linkFixed))
      const network = this.#namespaceOf(far.get(link.netnsFd))
      const index = network.#add({ ...nameAndMtu(far), kind, port: undefined, peer: undefined, isUp: false })
      peer = { network, index }
    }
    this.#add({ name, mtu, kind, port, peer, isUp: false })
  }

  #namespaceOf(fd: Buffer | undefined): KernelNetwork {
    if (fd === undefined) return this
    const path = readlinkSync(`/proc/self/fd/${fd.readUInt32LE(0)}`)
    const network = this.#namespaces.get(path)
    if (network === undefined) throw new Error(`the simulation has no network namespace ${path}`)
    return network
  }

  #change(payload: Buffer, fail: (code: number) => never): void {
    const state = this.#links.get(payload.readInt32LE(4)) ?? fail(errno.noDevice)
    const attributes = decodeAttributes(payload.subarray(linkFixed))
    const change = payload.readUInt32LE(12)
    state.flags = (state.flags & ~change) | (payload.readUInt32LE(8) & change)
    state.mtu = attributes.get(link.mtu)?.readUInt32LE(0) ?? state.mtu
    this.#changed()
  }

  #delete(index: number, fail: (code: number) => never): void {
    const state = this.#links.get(index) ?? fail(errno.noDevice)
    this.#links.delete(index)
    for (const [key, payload] of this.#addresses)
      if (payload.readUInt32LE(4) === index) this.#addresses.delete(key)
    for (const [key, payload] of this.#routes)
      if (decodeAttributes(payload.subarray(12)).get(4)?.readUInt32LE(0) === index) this.#routes.delete(key)
    for (const [key, payload] of this.#neighbours)
      if (payload.readInt32LE(4) === index) this.#neighbours.delete(key)
    if (state.peer !== undefined) state.peer.network.#links.delete(state.peer.index)
    this.addressChanges++
    this.#changed()
  }
}

function nameAndMtu(attributes: ReadonlyMap<number, Buffer>): { name: string; mtu: number } {
  const name = attributes.get(link.name)
  return {
    name: name === undefined ? '' : textOf(name),
    mtu: attributes.get(link.mtu)?.readUInt32LE(0) ?? 1500,
  }
}

function encodeLink({ index, name, kind, mac, mtu, flags: own, hasCarrier, port, peer }: LinkState): Buffer {
  const fixed = Buffer.alloc(linkFixed)
  const isUp = (own & flags.up) !== 0
  fixed.writeInt32LE(index, 4)
  fixed.writeUInt32LE(own | (isUp && hasCarrier ? flags.lowerUp : 0), 8)
  const details = [
    ...(kind === undefined ? [] : [attributeText(info.kind, kind)]),
    ...(port === undefined ? [] : [nested(info.data, attributeU16Be(vxlanPort, port.readUInt16BE(0)))]),
  ]
  return Buffer.concat([
    fixed,
    attributeText(link.name, name),
    attribute(link.address, macBytes(mac)),
    attributeU32(link.mtu, mtu),
    ...(peer === undefined ? [] : [attributeU32(link.peer, peer.index)]),
    ...(details.length === 0 ? [] : [nested(link.info, ...details)]),
  ])
}

/** A connection to it, as a process has one. `touch` comes before every change. */
export function netlinkOf(network: KernelNetwork, touch: () => void): Netlink {
  const netlink = {
    request: (attempted: string, type: number, given: number, ...payload: readonly Buffer[]): void => {
      touch()
      network.request(attempted, type, given, Buffer.concat(payload))
    },
    ask: (attempted: string, type: number, ...payload: readonly Buffer[]): NetlinkMessage =>
      network.ask(attempted, type, Buffer.concat(payload)),
    dump: (attempted: string, type: number, ...payload: readonly Buffer[]): NetlinkMessage[] =>
      network.dump(attempted, type, Buffer.concat(payload)),
    [Symbol.dispose]: () => {},
  }
  return netlink as unknown as Netlink
}
