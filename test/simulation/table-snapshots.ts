import type { Codec } from '../../src/datapath/layout/codec.ts'
import { libbpf } from '../../src/datapath/libbpf.ts'
import type { Table } from '../../src/datapath/maps/table.ts'
import type { Address } from '../../src/net/address.ts'
import type { Machine } from './machine.ts'

/** What a machine's tables say of ports, orders and nodes, as its agent has written them last. */
export interface TableSnapshot {
  /** By egress IP, the blocks that this node may take ports from. */
  readonly pools: ReadonlyMap<Address, readonly number[]>
  readonly owners: ReadonlyMap<Address, readonly (number | 'self' | 'stack' | undefined)[]>
  /** By egress IP, tunnel addresses, and since when that has been the order. */
  readonly orders: ReadonlyMap<Address, { readonly order: readonly Address[]; readonly sinceUs: number }>
  /** By tunnel address, the slot that this node takes another for. */
  readonly slots: ReadonlyMap<Address, number | undefined>
  /** By tunnel address, the MAC of each node to which packets may go without a tunnel. */
  readonly links: ReadonlyMap<Address, string>
}

export function readSnapshot(
  { programs }: Machine,
  before: TableSnapshot | undefined,
  nowUs: number,
): TableSnapshot {
  const { pools, egress_ips, nodes, links } = programs.datapath.tables
  const egressIps = entriesOf(egress_ips)
  return {
    pools: new Map(
      entriesOf(pools).flatMap(([{ address, purpose }, blocks]) =>
        purpose === 'egress' ? [[address, blocks] as const] : [],
      ),
    ),
    owners: new Map(egressIps.map(([address, { blockOwner }]) => [address, blockOwner])),
    orders: new Map(
      egressIps.map(([address, { order }]) => {
        const known = before?.orders.get(address)
        const isSame = known?.order.join() === order.join()
        return [address, isSame && known !== undefined ? known : { order, sinceUs: nowUs }]
      }),
    ),
    slots: new Map(entriesOf(nodes).map(([address, { slot }]) => [address, slot])),
    links: new Map(entriesOf(links).map(([address, { mac }]) => [address, mac])),
  }
}

/** Values that were decoded before, by their bytes: most are the same from one snapshot to the next. */
const decoded = new WeakMap<Codec<unknown>, Map<string, unknown>>()
const maxDecoded = 1000

function decodeOnce<V>(codec: Codec<V>, bytes: Buffer): V {
  const known = decoded.get(codec) ?? new Map<string, unknown>()
  decoded.set(codec, known)
  const text = bytes.toString('latin1')
  const before = known.get(text) as V | undefined
  if (before !== undefined) return before
  if (known.size >= maxDecoded) known.clear()
  const value = codec.decode(bytes)
  known.set(text, value)
  return value
}

/** Key by key: a simulation's tables are small, and a batch is as large as the table could be. */
export function entriesOf<K, V>({ raw, key, value }: Table<K, V>): (readonly [K, V])[] {
  const entries: (readonly [K, V])[] = []
  let last: Buffer | null = null
  for (;;) {
    const next: Buffer = Buffer.alloc(raw.keySize)
    if (libbpf().nextKey(raw.fd, last, next) < 0) return entries
    last = next
    const found = Buffer.alloc(raw.valueSize)
    if (libbpf().lookup(raw.fd, next, found) >= 0) entries.push([key.decode(next), decodeOnce(value, found)])
  }
}
