import type { Address } from '../../net/address.ts'
import type { Btf } from '../layout/btf.ts'
import {
  address,
  array,
  type Codec,
  codec,
  encodedOnce,
  encodedOnceCodec,
  fieldSeenAs,
  flag,
  mac,
  named,
  record,
  seenAs,
  u16,
  u32,
} from '../layout/codec.ts'
import { type Decoded, soleKey, soleValue } from './map-layout.ts'

/** Which node owns which port of an egress IP, and which ports this node uses for new flows. */
export const portTables = (btf: Btf) => ({
  egress_ips: { key: soleKey(btf, 'egress_ips', address), value: encodedOnceCodec(egressIpCodec(btf)) },
  pools: { key: poolKeyCodec(btf), value: encodedOnceCodec(poolCodec(btf)) },
  nodes: { key: soleKey(btf, 'nodes', address), value: nodeCodec(btf) },
  slots: { key: soleKey(btf, 'slots', u32), value: soleValue(btf, 'slots', address) },
  self: { key: soleKey(btf, 'self', u32), value: selfCodec(btf) },
})

export interface EgressIpEntry {
  /** The only device for packets of this egress IP. Default: the kernel's routes choose one. */
  readonly ifindex?: number
  /** Tunnel addresses, the owner first. */
  readonly order: readonly Address[]
  /** For each block of 16 ports its owner: a slot, this node whatever its slot, or the kernel's stack. */
  readonly blockOwner: readonly (number | 'self' | 'stack' | undefined)[]
}

export interface PoolKey {
  readonly address: Address
  readonly purpose: 'egress' | 'masquerade'
}

export type NodeEntry = Decoded<typeof nodeCodec>

type Masquerade = 'masquerade4' | 'masquerade6' | 'hasMasquerade4' | 'hasMasquerade6'

export interface SelfEntry extends Omit<Decoded<typeof selfFields>, Masquerade> {
  readonly masquerade4: Address | undefined
  readonly masquerade6: Address | undefined
}

/** A node's slot. A new node may have none yet. */
function slot(btf: Btf) {
  const none = btf.constant('NO_SLOT')
  return fieldSeenAs(
    u32,
    (value: number | undefined) => value ?? none,
    (value) => (value === none ? undefined : value),
  )
}

function egressIpCodec(btf: Btf): Codec<EgressIpEntry> {
  const [noSlot, thisNode, leftToStack] = ['NO_SLOT', 'THIS_NODE', 'LEFT_TO_STACK'].map((name) =>
    btf.constant(name),
  ) as [number, number, number]
  const numbers = { self: thisNode, stack: leftToStack }
  const names = new Map([[noSlot, undefined], [thisNode, 'self' as const], [leftToStack, 'stack' as const]]) // biome-ignore format: short
  const owner = fieldSeenAs(
    u16,
    (value: EgressIpEntry['blockOwner'][number]) =>
      typeof value === 'string' ? numbers[value] : (value ?? noSlot),
    (slot) => (names.has(slot) ? names.get(slot) : slot),
  )
  const inner = record(btf.struct('egress_ip'), {
    holderCount: u32,
    ifindex: u32,
    order: array(address),
    blockOwner: encodedOnce(array(owner)),
  })
  return seenAs(
    inner,
    ({ ifindex = 0, order, blockOwner }: EgressIpEntry) => ({
      holderCount: order.length,
      ifindex,
      order,
      blockOwner,
    }),
    ({ holderCount, ifindex, order, blockOwner }) => ({
      ...(ifindex === 0 ? {} : { ifindex }),
      order: order.slice(0, holderCount),
      blockOwner,
    }),
  )
}

export function poolKeyCodec(btf: Btf): Codec<PoolKey> {
  const inner = codec(btf.struct('pool_key'), { address, purpose: named(btf.enumeration('pool_purpose')) })
  return seenAs(
    inner,
    (key: PoolKey) => ({
      address: key.address,
      purpose: key.purpose === 'egress' ? 'POOL_EGRESS' : 'POOL_MASQUERADE',
    }),
    (key) => ({ address: key.address, purpose: key.purpose === 'POOL_EGRESS' ? 'egress' : 'masquerade' }),
  )
}

function poolCodec(btf: Btf): Codec<readonly number[]> {
  const inner = codec(btf.struct('pool'), { count: u32, blocks: array(u16) })
  return seenAs(
    inner,
    (blocks: readonly number[]) => ({ count: blocks.length, blocks }),
    (pool) => pool.blocks.slice(0, pool.count),
  )
}

const nodeCodec = (btf: Btf) => record(btf.struct('node'), { slot: slot(btf) })

const selfFields = (btf: Btf) =>
  record(btf.struct('self'), {
    tunnelAddress: address,
    masquerade4: address,
    masquerade6: address,
    hasMasquerade4: flag,
    hasMasquerade6: flag,
    slot: slot(btf),
    overlayIfindex: u32,
    /** The largest inner IP packet that fits into the tunnel without fragmentation. */
    tunnelMtu: u32,
    /** 0: translated packets do not go through the stack. */
    forwardIfindex: u32,
    overlayMac: mac,
  })

function selfCodec(btf: Btf): Codec<SelfEntry> {
  const nowhere = '::' as Address
  return seenAs(
    selfFields(btf),
    ({ masquerade4, masquerade6, ...self }: SelfEntry) => ({
      ...self,
      masquerade4: masquerade4 ?? nowhere,
      masquerade6: masquerade6 ?? nowhere,
      hasMasquerade4: masquerade4 !== undefined,
      hasMasquerade6: masquerade6 !== undefined,
    }),
    ({ masquerade4, masquerade6, hasMasquerade4, hasMasquerade6, ...self }) => ({
      ...self,
      masquerade4: hasMasquerade4 ? masquerade4 : undefined,
      masquerade6: hasMasquerade6 ? masquerade6 : undefined,
    }),
  )
}
