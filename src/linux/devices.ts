import { closeSync, openSync } from 'node:fs'
import { macBytes, macText } from '../net/mac.ts'
import type { Netlink } from './netlink.ts'
import {
  attribute,
  attributeText,
  attributeU8,
  attributeU16Be,
  attributeU32,
  decodeAttributes,
  eachAttribute,
  messageFlag,
  messageType,
  nested,
  textOf,
} from './netlink-message.ts'

/** A network device of one namespace. */
export interface Device {
  readonly index: number
  readonly name: string
  readonly alternativeNames: readonly string[]
  /** `veth`, `vxlan`, `bridge` and so on. Hardware devices have none. */
  readonly kind: string | undefined
  readonly mac: string | undefined
  readonly mtu: number
  readonly isUp: boolean
  readonly isLoopback: boolean
  readonly hasCarrier: boolean
  /** For a veth device: the index of the other end, which can be in another namespace. */
  readonly peerIndex: number | undefined
  readonly masterIndex: number | undefined
  /** For a VXLAN device: its UDP port. */
  readonly vxlanPort: number | undefined
}

const attributeType = {
  address: 1, name: 3, mtu: 4, link: 5, master: 10, linkInfo: 18, netnsFd: 28, propertyList: 52, alternativeName: 53,
} as const // biome-ignore format: numbers of one header
const infoType = { kind: 1, data: 2 } as const
const vxlanType = { id: 1, learning: 7, port: 15, zeroChecksum6Receive: 20, external: 25 } as const
const vethPeer = 1
const deviceFlag = { up: 1, loopback: 8, noArp: 0x80, lowerUp: 0x10000 } as const
const fixedLength = 16

function fixedPart(index: number, flags = 0, change = 0): Buffer {
  const fixed = Buffer.alloc(fixedLength)
  fixed.writeInt32LE(index, 4)
  fixed.writeUInt32LE(flags, 8)
  fixed.writeUInt32LE(change, 12)
  return fixed
}

export function listDevices(netlink: Netlink): Device[] {
  return netlink
    .dump('list devices', messageType.getLink, fixedPart(0))
    .map(({ payload }) => decodeDevice(payload))
}

/** Finds a device by name, alternative name or index. */
export function findDevice(netlink: Netlink, wanted: string | number): Device | undefined {
  return listDevices(netlink).find(
    (device) =>
      device.index === wanted || device.name === wanted || device.alternativeNames.includes(`${wanted}`),
  )
}

export function decodeDevice(payload: Buffer): Device {
  const attributes = decodeAttributes(payload.subarray(fixedLength))
  const flags = payload.readUInt32LE(8)
  const name = attributes.get(attributeType.name)
  const mac = attributes.get(attributeType.address)
  const info = attributes.get(attributeType.linkInfo)
  const details = info && decodeAttributes(info)
  const kind = details?.get(infoType.kind)
  const data = kind && textOf(kind) === 'vxlan' ? details?.get(infoType.data) : undefined
  const names = attributes.get(attributeType.propertyList)
  return {
    index: payload.readInt32LE(4),
    name: name ? textOf(name) : '',
    alternativeNames: names ? [...eachAttribute(names)].map(([, value]) => textOf(value)) : [],
    kind: kind && textOf(kind),
    mac: mac?.length === 6 ? macText(mac) : undefined,
    mtu: attributes.get(attributeType.mtu)?.readUInt32LE(0) ?? 0,
    isUp: (flags & deviceFlag.up) !== 0,
    isLoopback: (flags & deviceFlag.loopback) !== 0,
    hasCarrier: (flags & deviceFlag.lowerUp) !== 0,
    peerIndex: attributes.get(attributeType.link)?.readUInt32LE(0),
    masterIndex: attributes.get(attributeType.master)?.readUInt32LE(0),
    vxlanPort: data && decodeAttributes(data).get(vxlanType.port)?.readUInt16BE(0),
  }
}

interface NewDevice {
  readonly name: string
  readonly mac?: string
  readonly mtu?: number
}

/**
 * Adds a VXLAN device that gets the remote address and the VNI with every packet (`external`), so that one device serves all nodes.
 * IPv6 underlays send no UDP checksum, so the device accepts packets without one.
 */
export function createVxlan(netlink: Netlink, device: NewDevice & { readonly port: number }): void {
  const data = nested(
    infoType.data,
    attributeU8(vxlanType.external, 1),
    attributeU8(vxlanType.learning, 0),
    attributeU8(vxlanType.zeroChecksum6Receive, 1),
    attributeU16Be(vxlanType.port, device.port),
  )
  create(netlink, `create the VXLAN device ${device.name}`, 'vxlan', device, data)
}

/** Adds a veth pair. With `peer.netns`, the kernel creates the other end in that namespace, under its name there. */
export function createVeth(
  netlink: Netlink,
  device: NewDevice & { readonly peer: NewDevice & { readonly netns?: string } },
): void {
  const { peer } = device
  const attempted = `create the device pair ${device.name} and ${peer.name}`
  const netns = peer.netns === undefined ? undefined : openSync(peer.netns, 'r')
  try {
    const other = attribute(
      vethPeer,
      Buffer.concat([
        fixedPart(0),
        ...described(peer),
        ...(netns === undefined ? [] : [attributeU32(attributeType.netnsFd, netns)]),
      ]),
    )
    create(netlink, attempted, 'veth', device, nested(infoType.data, other))
  } finally {
    if (netns !== undefined) closeSync(netns)
  }
}

/** Adds a bridge with the kernel's defaults, without spanning tree. */
export function createBridge(netlink: Netlink, device: NewDevice): void {
  create(netlink, `create the bridge ${device.name}`, 'bridge', device)
}

function create(
  netlink: Netlink,
  attempted: string,
  kind: string,
  device: NewDevice,
  ...data: readonly Buffer[]
): void {
  netlink.request(
    attempted,
    messageType.newLink,
    messageFlag.create | messageFlag.exclusive,
    fixedPart(0),
    ...described(device),
    nested(attributeType.linkInfo, attributeText(infoType.kind, kind), ...data),
  )
}

function described({ name, mac, mtu }: Partial<NewDevice>): Buffer[] {
  return [
    ...(name === undefined ? [] : [attributeText(attributeType.name, name)]),
    ...(mac === undefined ? [] : [attribute(attributeType.address, macBytes(mac))]),
    ...(mtu === undefined ? [] : [attributeU32(attributeType.mtu, mtu)]),
  ]
}

export function deleteDevice(netlink: Netlink, index: number): void {
  netlink.request(`delete device ${index}`, messageType.deleteLink, 0, fixedPart(index))
}

interface DeviceSettings extends Partial<NewDevice> {
  readonly isUp?: boolean
  /** If false, the device never asks for neighbours (ARP). */
  readonly hasArp?: boolean
  /** The path of the namespace to move the device to. */
  readonly netns?: string
  /** The index of the bridge that gets the device as a port. */
  readonly master?: number
}

/** Changes only the given properties. A device must be down to be renamed or moved. */
export function setDevice(netlink: Netlink, index: number, settings: DeviceSettings): void {
  const { isUp, hasArp, netns, master } = settings
  const change = (isUp === undefined ? 0 : deviceFlag.up) | (hasArp === undefined ? 0 : deviceFlag.noArp)
  const flags = (isUp ? deviceFlag.up : 0) | (hasArp === false ? deviceFlag.noArp : 0)
  const target = netns === undefined ? undefined : openSync(netns, 'r')
  try {
    netlink.request(
      `change device ${index}`,
      messageType.newLink,
      0,
      fixedPart(index, flags, change),
      ...described(settings),
      ...(master === undefined ? [] : [attributeU32(attributeType.master, master)]),
      ...(target === undefined ? [] : [attributeU32(attributeType.netnsFd, target)]),
    )
  } finally {
    if (target !== undefined) closeSync(target)
  }
}
