import { isKernelError } from './libc.ts'
import { Netlink } from './netlink.ts'
import { decodeAttributes, textOf } from './netlink-message.ts'

/** A chain of nftables. Chains of iptables-nft are among them, chains of iptables-legacy are not. */
export interface Chain {
  readonly table: string
  readonly name: string
}

/** NETLINK_NETFILTER, and NFNL_SUBSYS_NFTABLES as the upper byte of a message's type. */
export const nftables = { protocol: 12, subsystem: 10 } as const

/** The lower byte of a message's type that asks for all objects of a kind: NFT_MSG_GETCHAIN and NFT_MSG_GETRULE. */
export const nftablesKind = { chain: 4, rule: 7 } as const

export const chainAttribute = { table: 1, name: 3, hook: 4, policy: 5 } as const

/** struct nfgenmsg */
const fixedLength = 4

/** An object of nftables as the kernel describes it. */
interface NftablesObject {
  readonly family: number
  readonly attributes: ReadonlyMap<number, Buffer>
}

/** All objects of a kind, of all families in this thread's network namespace. Throws a KernelError without nftables. */
export function dumpNftables(what: string, kind: number): readonly NftablesObject[] {
  using netlink = new Netlink(undefined, nftables.protocol)
  return netlink
    .dump(what, (nftables.subsystem << 8) | kind, Buffer.alloc(fixedLength))
    .map(({ payload }) => ({
      family: payload.readUInt8(0),
      attributes: decodeAttributes(payload.subarray(fixedLength)),
    }))
}

/** All chains of all families in this thread's network namespace. Empty if the kernel has no nftables. */
export function listChains(): readonly Chain[] {
  return ifSupported([], () =>
    dumpNftables('list chains of nftables', nftablesKind.chain).map(({ attributes }) => ({
      table: textAt(attributes, chainAttribute.table),
      name: textAt(attributes, chainAttribute.name),
    })),
  )
}

/** `absent` if the kernel does not have the subsystem that `act` calls. */
export function ifSupported<T>(absent: T, act: () => T): T {
  try {
    return act()
  } catch (error) {
    if (isKernelError(error, 'EPROTONOSUPPORT', 'EOPNOTSUPP', 'EINVAL', 'ENOENT')) return absent
    throw error
  }
}

/** Empty if the attribute is missing. */
export function textAt(attributes: ReadonlyMap<number, Buffer>, type: number): string {
  const value = attributes.get(type)
  return value === undefined ? '' : textOf(value)
}
