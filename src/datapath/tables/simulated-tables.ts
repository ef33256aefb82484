import type { Btf } from '../layout/btf.ts'
import { address, codec, flag, named, u32, u64 } from '../layout/codec.ts'
import { type Decoded, soleKey } from './map-layout.ts'
import { clusterKeyCodec } from './policy-tables.ts'

/** Only a simulation writes these tables. Elsewhere the programs ask the kernel instead. */
export const simulatedTables = (btf: Btf) => ({
  simulated_run: { key: soleKey(btf, 'simulated_run', u32), value: simulatedRunCodec(btf) },
  simulated_routes: {
    key: clusterKeyCodec(btf),
    value: codec(btf.struct('simulated_route'), { ifindex: u32, mtu: u32 }),
  },
})

export type SimulatedRun = Decoded<typeof simulatedRunCodec>

/** Input and result of one run of a program in a simulation: clock, device and tunnel before it, verdict and destination after it. */
const simulatedRunCodec = (btf: Btf) =>
  codec(btf.struct('simulated_run'), {
    now_ns: u64,
    random: u64,
    tunnel_source: address,
    tunnel_vni: u32,
    ifindex: u32,
    has_own_socket: flag,
    verdict: named(btf.enumeration('verdict')),
    departure: named(btf.enumeration('departure')),
    sent_ifindex: u32,
    sent_vni: u32,
    sent_node: address,
  })
