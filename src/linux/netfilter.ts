import { isKernelError } from './libc.ts'
import { Netlink } from './netlink.ts'
import { decodeAttributes, textOf } from './netlink-message.ts'

/** A chain of nftables. Chains of iptables-nft are among them, chains of iptables-legacy are not. */
export interface Chain {
  readonly table: string
  readonly name: string
}

const netfilterProtocol = 12
/** NFNL_SUBSYS_NFTABLES and NFT_MSG_GETCHAIN. */
const getChain = (10 << 8) | 4
const chainAttribute = { table: 1, name: 3 } as const
const fixedLength = 4

/** All chains of all families in this thread's network namespace. Empty if the kernel has no nftables. */
export function listChains(): readonly Chain[] {
  try {
    using netlink = new Netlink(undefined, netfilterProtocol)
    return netlink
      .dump('list chains of nftables', getChain, Buffer.alloc(fixedLength))
      .map(({ payload }) => decodeChain(payload))
  } catch (error) {
    if (isKernelError(error, 'EPROTONOSUPPORT', 'EOPNOTSUPP', 'EINVAL', 'ENOENT')) return []
    throw error
  }
}

function decodeChain(payload: Buffer): Chain {
  const attributes = decodeAttributes(payload.subarray(fixedLength))
  const textAt = (type: number): string => {
    const value = attributes.get(type)
    return value === undefined ? '' : textOf(value)
  }
  return { table: textAt(chainAttribute.table), name: textAt(chainAttribute.name) }
}
