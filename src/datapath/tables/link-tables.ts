import type { Address } from '../../net/address.ts'
import type { Btf } from '../layout/btf.ts'
import { address, type Codec, mac, record, seenAs, u32, u64 } from '../layout/codec.ts'
import { type Decoded, soleKey, soleValue } from './map-layout.ts'

/** The nodes that share a link with this one, and whose frames are whose. */
export const linkTables = (btf: Btf) => ({
  links: { key: soleKey(btf, 'links', address), value: linkCodec(btf) },
  link_macs: { key: linkMacCodec(btf), value: soleValue(btf, 'link_macs', address) },
})

export interface LinkEntry extends Omit<Decoded<typeof linkFields>, 'probeSource'> {
  /** An egress IP of the node. Undefined: this node sends no probes to it. */
  readonly probeSource: Address | undefined
}

const linkFields = (btf: Btf) =>
  record(btf.struct('link'), {
    /** Of CLOCK_MONOTONIC. The programs write it. */
    answeredNs: u64,
    probeSource: address,
    ifindex: u32,
    mtu: u32,
    mac,
    ownMac: mac,
  })

function linkCodec(btf: Btf): Codec<LinkEntry> {
  const nowhere = '::' as Address
  return seenAs(
    linkFields(btf),
    ({ probeSource, ...link }: LinkEntry) => ({ ...link, probeSource: probeSource ?? nowhere }),
    ({ probeSource, ...link }) => ({
      ...link,
      probeSource: probeSource === nowhere ? undefined : probeSource,
    }),
  )
}

function linkMacCodec(btf: Btf): Codec<string> {
  return seenAs(
    record(btf.struct('link_mac'), { mac }),
    (text: string) => ({ mac: text }),
    (key) => key.mac,
  )
}
