import type { Btf } from '../layout/btf.ts'
import { address, codec, flag, flags, named, port, u8, u32, u64 } from '../layout/codec.ts'
import { flowKeyField } from './flow-tables.ts'
import { type Decoded, soleKey, soleValue } from './map-layout.ts'
import { poolKeyCodec } from './port-tables.ts'

/** What the programs count and observe: packets, drops, pools that run low, and gateways that answered. */
export const observationTables = (btf: Btf) => ({
  counters: {
    key: soleKey(btf, 'counters', u32),
    value: codec(btf.struct('counter'), { packets: u64, bytes: u64 }),
  },
  drop_budgets: {
    key: soleKey(btf, 'drop_budgets', u32),
    value: codec(btf.struct('drop_budget'), { since_ns: u64, records: u64 }),
  },
  policy_drops: {
    key: codec(btf.struct('policy_drop_key'), {
      policy: u64,
      egress_ip: address,
      verdict: named(btf.enumeration('verdict')),
    }),
    value: soleValue(btf, 'policy_drops', u64),
  },
  ended_flows: {
    key: codec(btf.struct('ended_flows_key'), { policy: u64, egress_ip: address }),
    value: codec(btf.struct('ended_flows'), {
      flows: u64,
      packets_out: u64,
      packets_in: u64,
      bytes_out: u64,
      bytes_in: u64,
    }),
  },
  pod_flows: {
    key: codec(btf.struct('pod_flows_key'), { pod: address, egress_ip: address }),
    value: soleValue(btf, 'pod_flows', u32),
  },
  pool_pressures: {
    key: poolKeyCodec(btf),
    value: codec(btf.struct('pool_pressure'), { reported_ns: u64, refused: u32 }),
  },
  probed_gateways: {
    key: soleKey(btf, 'probed_gateways', address),
    value: codec(btf.struct('probed_gateway'), {
      answered_ns: u64,
      refused_ns: u64,
      flapping_until_ns: u64,
    }),
  },
  lost_flow_ends: {
    key: soleKey(btf, 'lost_flow_ends', u32),
    value: soleValue(btf, 'lost_flow_ends', u64),
  },
  liveness: {
    key: soleKey(btf, 'liveness', u32),
    value: codec(btf.struct('liveness'), { alive_until_ns: u64, probing_until_ns: u64 }),
  },
})

/** One record of the ring buffer `drops`. */
export function dropCodec(btf: Btf) {
  return codec(btf.struct('drop'), {
    time_ns: u64,
    flow: flowKeyField(btf),
    program: named(btf.enumeration('program')),
    verdict: named(btf.enumeration('verdict')),
    ifindex: u32,
    length: u32,
  })
}

/** One record of the ring buffer `pressures`. */
export const pressureCodec = (btf: Btf) =>
  codec(btf.struct('port_pressure'), { time_ns: u64, port: flowKeyField(btf), tries: u32, refused: u32 })

/** One record of the ring buffer `flow_ends`. */
export const flowEndCodec = (btf: Btf) =>
  codec(btf.struct('flow_end'), {
    flow: flowKeyField(btf),
    egress_ip: address,
    egress_port: port,
    state: flags(btf.enumeration('mapping_state')),
    policy: u64,
    created_ns: u64,
    last_outward_ns: u64,
    last_inward_ns: u64,
    ended_ns: u64,
    packets_out: u64,
    packets_in: u64,
    bytes_out: u64,
    bytes_in: u64,
  })

/** The variable `traced_flow`. */
export const tracedFlowCodec = (btf: Btf) =>
  codec(btf.struct('traced_flow'), { protocol: u32, sequence: u32, far: address, far_port: port })

/** One record of the ring buffer `passages`. */
export const passageCodec = (btf: Btf) =>
  codec(btf.struct('passage'), {
    time_ns: u64,
    flow: flowKeyField(btf),
    sender: address,
    program: named(btf.enumeration('program')),
    verdict: named(btf.enumeration('verdict')),
    tcp_flags: u8,
    is_icmp_error: flag,
    icmp_type: u8,
    icmp_code: u8,
  })

export type FlowEnd = Decoded<typeof flowEndCodec>
export type DropRecord = Decoded<typeof dropCodec>
/** By what the programs recognise a test packet. TCP: by the sequence number of the SYN. UDP: by the far end. */
export type TracedFlow = Decoded<typeof tracedFlowCodec>
/** A program has handled a test packet, or an answer to it. `time_ns` is of CLOCK_MONOTONIC. */
export type Passage = Decoded<typeof passageCodec>
export type PressureRecord = Decoded<typeof pressureCodec>
