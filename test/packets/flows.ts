import type { FlowKey, Mapping } from '../../src/datapath/tables/flow-tables.ts'
import { type NodeUnderTest, ourPorts } from './node-under-test.ts'
import { address, protocolNumber } from './packet.ts'

/** What a test does to the node before its packet comes. */
export type Given = (node: NodeUnderTest) => undefined | Promise<unknown>

export const secondNs = 1_000_000_000n

export interface Flow {
  readonly pod?: string
  readonly destination?: string
  readonly egressIp?: string
  readonly egressPort?: number
  readonly sourcePort?: number
  readonly destinationPort?: number
  readonly protocol?: number
  /** Fields of the mapping that differ from those of a connection that has been open for a second. */
  readonly mapping?: Partial<Mapping>
}

export function flowKey({
  pod = '10.244.1.7',
  destination = '203.0.113.9',
  sourcePort = 40000,
  destinationPort = 443,
  protocol = protocolNumber.tcp,
}: Flow): FlowKey {
  return {
    source: address(pod),
    destination: address(destination),
    source_port: sourcePort,
    destination_port: destinationPort,
    protocol,
  }
}

/** Puts a flow's mapping and its way back into the tables, as the programs would have. */
export function established(flow: Flow = {}): (node: NodeUnderTest) => undefined {
  return ({ datapath: { tables } }) => {
    const { egressIp = '172.18.0.42', egressPort = ourPorts.first } = flow
    const key = flowKey(flow)
    const now = process.hrtime.bigint()
    tables.ports.set({ ...key, source: address(egressIp), source_port: egressPort }, key)
    tables.mappings.set(key, {
      reclaimed: false,
      is_of_client: false,
      egress_ip: address(egressIp),
      egress_port: egressPort,
      state: ['STATE_REPLIED', 'STATE_ESTABLISHED'],
      masqueraded: false,
      through_stack: false,
      through_service: false,
      fin_out_end: 0,
      fin_in_end: 0,
      acknowledged: 0,
      policy: 7n,
      created_ns: now - secondNs,
      last_outward_ns: now - secondNs,
      last_inward_ns: 0n,
      closed_ns: 0n,
      packets_out: 1n,
      packets_in: 0n,
      bytes_out: 60n,
      bytes_in: 0n,
      ...flow.mapping,
    })
    return undefined
  }
}

/** Time cannot be faked in the kernel; so the mapping is made older instead. Zero stays zero: it means never. */
export function age({ datapath: { tables } }: NodeUnderTest, key: FlowKey, byNs: bigint): void {
  const mapping = tables.mappings.get(key)
  if (mapping === undefined) throw new Error('there is no mapping to age')
  /* Before the machine's start it wraps round, as the programs' arithmetic does. */
  const earlier = (timeNs: bigint): bigint => (timeNs === 0n ? 0n : BigInt.asUintN(64, timeNs - byNs))
  tables.mappings.set(key, {
    ...mapping,
    created_ns: earlier(mapping.created_ns),
    last_outward_ns: earlier(mapping.last_outward_ns),
    last_inward_ns: earlier(mapping.last_inward_ns),
    closed_ns: earlier(mapping.closed_ns),
  })
}
