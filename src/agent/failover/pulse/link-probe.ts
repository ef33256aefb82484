import { transportChecksum } from '../../../linux/checksum.ts'
import { ipHeader } from '../../../linux/ip-header.ts'
import { kernelBytes } from '../../../linux/network-address.ts'
import { ethernet, etherType } from '../../../linux/packet-socket.ts'
import { type Address, familyOf } from '../../../net/address.ts'
import { macBytes } from '../../../net/mac.ts'

interface LinkProbe {
  readonly mac: string
  readonly ownMac: string
  /** The egress IP of the gateway from which the probe seems to come. */
  readonly source: Address
  readonly sourcePort: number
  readonly destinationPort: number
}

/** In the place of a destination in the world: bpf/from-link.h. No host has these addresses. */
const placeholders = { 4: '192.0.0.8' as Address, 6: '100::8' as Address } as const
const udp = 17
const hopLimit = 64

/** More than a node probes. An egress IP that is replaced again and again must not fill the memory. */
const maxFrames = 1024

/** Keeps the frames, because a node sends the same few ten times a second. */
export class LinkProbeFrames {
  readonly #frames = new Map<string, Buffer>()

  frame(probe: LinkProbe): Buffer {
    const { mac, ownMac, source, sourcePort, destinationPort } = probe
    const key = `${mac} ${ownMac} ${source} ${sourcePort} ${destinationPort}`
    const known = this.#frames.get(key)
    if (known !== undefined) return known
    if (this.#frames.size === maxFrames) this.#frames.clear()
    const frame = linkProbeFrame(probe)
    this.#frames.set(key, frame)
    return frame
  }
}

/** A probe as a whole frame: an empty UDP datagram that looks as packets of pods do on this path. */
export function linkProbeFrame({ mac, ownMac, source, sourcePort, destinationPort }: LinkProbe): Buffer {
  const family = familyOf(source)
  const addresses = Buffer.concat([source, placeholders[family]].map(kernelBytes))
  const datagram = Buffer.alloc(8)
  datagram.writeUInt16BE(sourcePort, 0)
  datagram.writeUInt16BE(destinationPort, 2)
  datagram.writeUInt16BE(datagram.length, 4)
  /* UDP has a word for "no checksum": a sum of zero is sent as its other form (RFC 768). */
  datagram.writeUInt16BE(transportChecksum(addresses, udp, datagram) || 0xffff, 6)
  const header = ipHeader({ addresses, protocol: udp, hopLimit, length: datagram.length })
  const type = family === 4 ? etherType.ipv4 : etherType.ipv6
  return Buffer.concat([ethernet(macBytes(mac), macBytes(ownMac), type), header, datagram])
}
