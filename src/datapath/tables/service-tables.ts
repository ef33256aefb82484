import type { Address } from '../../net/address.ts'
import type { Btf } from '../layout/btf.ts'
import {
  address,
  type Codec,
  codec,
  type FieldKind,
  flag,
  port,
  record,
  u8,
  u32,
  u64,
} from '../layout/codec.ts'
import { flowKeyCodec } from './flow-tables.ts'
import type { Decoded } from './map-layout.ts'

/** Services and the flows through them. The agent writes the first three tables, the programs write the others. */
export function serviceTables(btf: Btf) {
  const flowKey = flowKeyCodec(btf)
  const endpoint = endpointCodec(btf)
  const service = nested('service_key', serviceKeyCodec(btf))
  const member = nested('endpoint', endpoint)
  return {
    services: { key: serviceKeyCodec(btf), value: serviceCodec(btf) },
    service_endpoints: { key: record(btf.struct('service_place'), { service, place: u32 }), value: endpoint },
    service_members: {
      key: record(btf.struct('service_member_key'), { service, endpoint: member }),
      value: record(btf.struct('service_member'), { takesNew: flag }),
    },
    service_flows: { key: flowKey, value: endpoint },
    service_replies: { key: flowKey, value: endpoint },
    affinities: {
      key: record(btf.struct('affinity_key'), { service, client: address }),
      value: record(btf.struct('affinity'), { lastNs: u64, endpoint: member }),
    },
  }
}

export type ServiceKey = Decoded<typeof serviceKeyCodec>

/** One port of a Service, as the agent wants it. */
export interface ServiceEntry {
  /** How long a client keeps its endpoint. 0: a new flow of the client may have another. */
  readonly affinityMs: number
  /** For new flows. */
  readonly endpoints: readonly Endpoint[]
  /** About to end: only open flows go on to them. */
  readonly leaving: readonly Endpoint[]
}

export interface Endpoint {
  readonly address: Address
  readonly port: number
}

const serviceKeyCodec = (btf: Btf) => record(btf.struct('service_key'), { address, port, protocol: u8 })

const serviceCodec = (btf: Btf) => record(btf.struct('service'), { affinityNs: u64, count: u32 })

const endpointCodec = (btf: Btf): Codec<Endpoint> => codec(btf.struct('endpoint'), { address, port })

/** A struct inside another one. */
function nested<T>(name: string, inner: Codec<T>): FieldKind<T> {
  return (type) =>
    type.kind === 'struct' && type.name === name
      ? { read: (buffer, at) => inner.decode(buffer, at), write: inner.encodeInto }
      : undefined
}
