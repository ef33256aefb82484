import type { Address } from '../../../net/address.ts'

/** Which flows. Every value is text, as in a URL. A missing one means all. */
export interface FlowQuery {
  /** `name`, or `namespace/name`. */
  readonly pod?: string
  readonly policy?: string
  readonly egressIp?: string
  readonly egressPort?: string
  /** The destination's address or prefix. */
  readonly to?: string
  readonly toPort?: string
  readonly state?: string
  /** At most so many. */
  readonly limit?: string
  /** The largest first. Of `connections`, a row is a pod with an egress IP. */
  readonly top?: string
}

export const flowStates = [
  'opening',
  'established',
  'closing',
  'closed',
  'reset',
  'replied',
  'unanswered',
] as const
export const flowOrders = ['bytes', 'packets', 'connections'] as const

/** A translated flow as the datapath knows it, or the sum of several. */
export interface FlowRow {
  readonly node: string
  /** Missing if no pod of the node has the address any more. */
  readonly namespace?: string
  readonly pod?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly egressIp: Address
  readonly policy?: string
  readonly connections: number
  readonly packetsOut: number
  readonly packetsIn: number
  readonly bytesOut: number
  readonly bytesIn: number
  /** Missing in a sum. */
  readonly flow?: {
    readonly protocol: string
    readonly source: string
    readonly egress: string
    readonly destination: string
    readonly state: (typeof flowStates)[number]
    readonly since: string
    readonly lastPacket: string
  }
}

/** Who may use a port of an address. */
export interface PortOwner {
  /** False if no policy uses the address. */
  readonly isEgressIp: boolean
  /** The node. Missing if no node owns the port: then it belongs to the network stack of the node that has the address. */
  readonly node?: string
}
