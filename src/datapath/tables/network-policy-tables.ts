import type { Btf } from '../layout/btf.ts'
import { array, type Codec, codec, type FieldKind, named, seenAs, u16, u32, u64 } from '../layout/codec.ts'
import { soleKey } from './map-layout.ts'
import { setKeyCodec } from './trie-prefix.ts'

/** To which destinations and ports NetworkPolicies let pods send. */
export const networkPolicyTables = (btf: Btf) => ({
  network_rules: { key: setKeyCodec(btf.struct('network_rule_key'), 'network_set'), value: ruleCodec(btf) },
  port_lists: { key: soleKey(btf, 'port_lists', u64), value: portListCodec(btf) },
})

export type NetworkRuleEntry =
  | { readonly action: 'deny' | 'allow' }
  | { readonly action: 'allowPorts'; readonly portList: bigint }

export interface PortRangeEntry {
  /** As in an IP header. */
  readonly protocol: number
  readonly first: number
  readonly last: number
}

function ruleCodec(btf: Btf): Codec<NetworkRuleEntry> {
  const inner = codec(btf.struct('network_rule'), {
    port_list: u64,
    action: named(btf.enumeration('network_action')),
  })
  return seenAs(
    inner,
    (rule: NetworkRuleEntry) => ({
      port_list: rule.action === 'allowPorts' ? rule.portList : 0n,
      action: { deny: 'NETWORK_DENY', allow: 'NETWORK_ALLOW', allowPorts: 'NETWORK_ALLOW_PORTS' }[
        rule.action
      ],
    }),
    (rule) => {
      if (rule.action === 'NETWORK_ALLOW_PORTS') return { action: 'allowPorts', portList: rule.port_list }
      return { action: rule.action === 'NETWORK_ALLOW' ? 'allow' : 'deny' }
    },
  )
}

function portListCodec(btf: Btf): Codec<readonly PortRangeEntry[]> {
  const range = codec(btf.struct('port_range'), { first: u16, last: u16, protocol: u16 })
  const asField: FieldKind<PortRangeEntry> = (type) =>
    type.kind === 'struct' && type.name === 'port_range'
      ? { read: (buffer, at) => range.decode(buffer, at), write: range.encodeInto }
      : undefined
  const inner = codec(btf.struct('port_list'), { count: u32, ranges: array(asField) })
  return seenAs(
    inner,
    (ranges: readonly PortRangeEntry[]) => ({ count: ranges.length, ranges }),
    ({ count, ranges }) => ranges.slice(0, count),
  )
}
