import type { Btf } from '../layout/btf.ts'
import { address, codec, type FieldKind, flag, flags, port, u8, u32, u64 } from '../layout/codec.ts'
import type { Decoded } from './map-layout.ts'

/** What the programs remember about flows. They write these tables, and the agent reads them. */
export function flowTables(btf: Btf) {
  const flowKey = flowKeyCodec(btf)
  return {
    mappings: { key: flowKey, value: mappingCodec(btf) },
    ports: { key: flowKey, value: flowKey },
    inbound: { key: flowKey, value: codec(btf.struct('inbound'), { last_ns: u64 }) },
    fragments: {
      key: codec(btf.struct('fragment_key'), {
        source: address,
        destination: address,
        id: u32,
        protocol: u32,
      }),
      value: codec(btf.struct('fragment_ports'), { source_port: port, destination_port: port }),
    },
  }
}

export type Mapping = Decoded<typeof mappingCodec>
export type FlowKey = Decoded<typeof flowKeyCodec>

export const flowKeyCodec = (btf: Btf) =>
  codec(btf.struct('flow_key'), {
    source: address,
    destination: address,
    source_port: port,
    destination_port: port,
    protocol: u8,
  })

/** A flow_key inside another struct. */
export function flowKeyField(btf: Btf): FieldKind<FlowKey> {
  const flow = flowKeyCodec(btf)
  return (type) =>
    type.kind === 'struct' && type.name === 'flow_key'
      ? { read: (buffer, at) => flow.decode(buffer, at), write: flow.encodeInto }
      : undefined
}

const mappingCodec = (btf: Btf) =>
  codec(btf.struct('mapping'), {
    reclaimed: flag,
    is_of_client: flag,
    egress_ip: address,
    egress_port: port,
    state: flags(btf.enumeration('mapping_state')),
    masqueraded: flag,
    through_stack: flag,
    through_service: flag,
    fin_out_end: u32,
    fin_in_end: u32,
    acknowledged: u32,
    policy: u64,
    created_ns: u64,
    last_outward_ns: u64,
    last_inward_ns: u64,
    closed_ns: u64,
    packets_out: u64,
    packets_in: u64,
    bytes_out: u64,
    bytes_in: u64,
  })
