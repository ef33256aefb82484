import type { Address } from '../../net/address.ts'
import { type Prefix, prefixAddress, prefixLength128 } from '../../net/prefix.ts'
import type { Btf } from '../layout/btf.ts'
import {
  address,
  type Codec,
  codec,
  type FieldKind,
  flag,
  named,
  port,
  record,
  seenAs,
  u8,
  u32,
  u64,
} from '../layout/codec.ts'
import { flowKeyCodec } from './flow-tables.ts'
import { type Decoded, soleKey, soleValue } from './map-layout.ts'
import { prefixFrom } from './trie-prefix.ts'

/** Services and the flows through them. The agent writes the first four tables and `node_clients`, the programs write the others. */
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
    service_sources: { key: sourceKeyCodec(btf), value: soleValue(btf, 'service_sources', u32) },
    service_flows: { key: flowKey, value: endpoint },
    service_replies: { key: flowKey, value: endpoint },
    affinities: {
      key: record(btf.struct('affinity_key'), { service, client: address }),
      value: record(btf.struct('affinity'), { lastNs: u64, endpoint: member }),
    },
    client_flows: { key: flowKey, value: endpoint },
    client_replies: {
      key: flowKey,
      value: record(btf.struct('client_reply'), { service: member, entry: address, lastNs: u64 }),
    },
    node_clients: {
      key: soleKey(btf, 'node_clients', u32),
      value: record(btf.struct('node_client'), { address, turned: address }),
    },
    process_calls: { key: flowKey, value: soleValue(btf, 'process_calls', address) },
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
  /** Absent: every client is admitted. */
  readonly sources?: readonly Prefix[]
  /** Absent: no client outside the cluster reaches the address. */
  readonly clients?: ClientEntry
}

interface ClientEntry {
  /** `thisNode`: only the endpoints of this node count. */
  readonly endpointsOf: 'anyNode' | 'thisNode'
  /** The endpoints of this node. */
  readonly local: readonly Endpoint[]
}

/** How the processes of the node are clients of Services, in one family. */
export interface NodeClientEntry {
  /** From which they speak to Services. */
  readonly address: Address
  /** From which a process sees another one of the same node. */
  readonly turned: Address
}

export interface Endpoint {
  readonly address: Address
  readonly port: number
}

const serviceKeyCodec = (btf: Btf) => record(btf.struct('service_key'), { address, port, protocol: u8 })

const serviceCodec = (btf: Btf) =>
  record(btf.struct('service'), {
    affinityNs: u64,
    count: u32,
    localCount: u32,
    clients: named(btf.enumeration('client_access')),
    hasSources: flag,
  })

const endpointCodec = (btf: Btf): Codec<Endpoint> => codec(btf.struct('endpoint'), { address, port })

interface SourceKey {
  readonly service: ServiceKey
  readonly client: Prefix
}

/** The trie compares the whole key of the Service before the client's address. */
function sourceKeyCodec(btf: Btf): Codec<SourceKey> {
  const service = serviceKeyCodec(btf)
  const serviceBits = 8 * service.size
  const inner = record(btf.struct('service_source_key'), {
    prefixLength: u32,
    service: nested('service_key', service),
    client: address,
  })
  return seenAs(
    inner,
    ({ service: of, client }: SourceKey) => ({
      prefixLength: serviceBits + prefixLength128(client),
      service: of,
      client: prefixAddress(client),
    }),
    ({ prefixLength, service: of, client }) => ({
      service: of,
      client: prefixFrom(client, prefixLength - serviceBits),
    }),
  )
}

/** A struct inside another one. */
function nested<T>(name: string, inner: Codec<T>): FieldKind<T> {
  return (type) =>
    type.kind === 'struct' && type.name === name
      ? { read: (buffer, at) => inner.decode(buffer, at), write: inner.encodeInto }
      : undefined
}
