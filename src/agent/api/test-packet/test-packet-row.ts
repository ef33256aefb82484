import type { Address } from '../../../net/address.ts'

/** A real packet to send, as if this pod had sent it, and how long to wait for an answer. */
export interface TestPacketRequest {
  readonly namespace: string
  readonly pod: string
  readonly to: string
  readonly port: number
  readonly protocol: 'tcp' | 'udp'
  /** TCP: the sequence number of the SYN, by which all nodes recognise the test packet. From 0 to 2^32 - 1. */
  readonly sequence: number
  /** At most 30 seconds. */
  readonly waitMs: number
}

/** What a packet was: the test packet, its reset, or an answer. */
export type PacketKind =
  | 'SYN'
  | 'SYN-ACK'
  | 'RST'
  | 'other TCP'
  | 'datagram'
  | 'fragmentation needed'
  | 'unreachable'
  | 'time exceeded'
  | 'ICMP error'

/** A program of a node has handled the test packet, its reset, or an answer. */
export interface PassageRow {
  readonly kind: 'passage'
  readonly node: string
  /** On the clock of the node, in nanoseconds since it booted. */
  readonly atNs: number
  readonly program: string
  readonly verdict: string
  /** Why it was dropped. */
  readonly reason?: string
  readonly remedy?: string
  readonly packet: PacketKind
  /** Of an ICMP error: type and code. */
  readonly icmp?: string
  /** Who sent the packet. An ICMP error can be from a router. */
  readonly sender: Address
  /** As the program found the flow. Of an ICMP error: the flow that the error is about, in the direction of the error. */
  readonly source: Address
  readonly sourcePort: number
  readonly destination: Address
  readonly destinationPort: number
}

/** `ready`: from now on, the node's programs report. */
export type PassageLine = { readonly kind: 'ready'; readonly node: string } | PassageRow

/** Query of `GET /v1/passages`. */
export interface PassageQuery {
  readonly protocol?: string
  readonly sequence?: string
  readonly address?: string
  readonly port?: string
}

/** What the pod's node knows of the test packet. */
export interface TestPacketResult {
  readonly node: string
  readonly source: Address
  readonly sourcePort: number
  /** Where the flow's packets go: the endpoint, if the destination is a Service that the programs translate. */
  readonly destination: Address
  readonly destinationPort: number
  /** Undefined if the programs did not translate the packet. */
  readonly egressIp?: Address
  readonly egressPort?: number
  readonly passages: readonly PassageRow[]
}
