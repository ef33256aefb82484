import type { Address } from '../../net/address.ts'
import type { Btf } from '../layout/btf.ts'
import {
  address,
  array,
  type Codec,
  codec,
  type FieldKind,
  flag,
  port,
  record,
  seenAs,
  u8,
  u32,
} from '../layout/codec.ts'
import { flowKeyCodec } from './flow-tables.ts'
import type { Decoded } from './map-layout.ts'

/** Services that lead out of the cluster. The agent writes the first table, the programs write the others. */
export function serviceTables(btf: Btf) {
  const flowKey = flowKeyCodec(btf)
  const endpoint = endpointCodec(btf)
  return {
    services: { key: serviceKeyCodec(btf), value: serviceCodec(btf) },
    service_flows: { key: flowKey, value: endpoint },
    service_replies: { key: flowKey, value: endpoint },
  }
}

export type ServiceKey = Decoded<typeof serviceKeyCodec>

export interface ServiceEntry {
  /** Session affinity: all connections of a pod go to the same endpoint. */
  readonly byClient: boolean
  readonly endpoints: readonly Endpoint[]
}

interface Endpoint {
  readonly address: Address
  readonly port: number
}

const serviceKeyCodec = (btf: Btf) => record(btf.struct('service_key'), { address, port, protocol: u8 })

const endpointCodec = (btf: Btf): Codec<Endpoint> => codec(btf.struct('endpoint'), { address, port })

/** An endpoint inside another struct. */
function endpointField(btf: Btf): FieldKind<Endpoint> {
  const inner = endpointCodec(btf)
  return (type) =>
    type.kind === 'struct' && type.name === 'endpoint'
      ? { read: (buffer, at) => inner.decode(buffer, at), write: inner.encodeInto }
      : undefined
}

function serviceCodec(btf: Btf): Codec<ServiceEntry> {
  const inner = record(btf.struct('service'), {
    count: u32,
    byClient: flag,
    endpoints: array(endpointField(btf)),
  })
  return seenAs(
    inner,
    ({ byClient, endpoints }: ServiceEntry) => ({ count: endpoints.length, byClient, endpoints }),
    ({ count, byClient, endpoints }) => ({ byClient, endpoints: endpoints.slice(0, count) }),
  )
}
