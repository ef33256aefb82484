import type { Address } from '../../../net/address.ts'

/** A flow that has ended, as a line of the NAT log has it. Times are those of the node's clock. */
export interface FlowRecord {
  readonly kind: 'flow'
  /** The same flow never has two ids, and two flows of a node's boot never have one. */
  readonly id: string
  readonly node: string
  /** Missing if the agent has never known which pod had the address. */
  readonly namespace?: string
  readonly pod?: string
  readonly policy?: string
  readonly protocol: string
  /** The pod's address and port. */
  readonly source: string
  readonly egressIP: Address
  readonly egressPort: number
  /** Only if the settings or the policy ask for destinations. */
  readonly destination?: string
  readonly begin: string
  readonly lastPacket: string
  /** From then on another flow could have the port. Missing: the flow is open. */
  readonly end?: string
  readonly packetsOut: number
  readonly packetsIn: number
  readonly bytesOut: number
  readonly bytesIn: number
}

/** Why the log has no record of a flow. */
export type LossReason = 'buffer' | 'limit' | 'file' | 'collector'

/** Flows that ended in this time have no record. */
export interface LossRecord {
  readonly kind: 'loss'
  readonly node: string
  readonly reason: LossReason
  readonly records: number
  readonly begin: string
  readonly end: string
}

export type NatLogLine = FlowRecord | LossRecord

/** What a node's log can say. It is the first value of an answer. */
export interface NatLogCover {
  readonly kind: 'cover'
  readonly node: string
  readonly isOn: boolean
  /** The log has one in so many flows. */
  readonly sampling: number
  /** When the oldest flow in the log ended. Missing if the log is empty. */
  readonly since?: string
}

/** Which flows. Every value is text, as in a URL. */
export interface NatLogQuery {
  readonly address?: string
  readonly port?: string
  /** A moment or a whole second, in ISO 8601. */
  readonly at?: string
  readonly to?: string
  readonly toPort?: string
}

export type NatLogAnswer = NatLogCover | NatLogLine
