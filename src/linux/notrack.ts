import { ifSupported, listChains, nftables } from './netfilter.ts'
import { Netlink, type NetlinkRequest } from './netlink.ts'
import { attribute, attributeText, attributeU32Be, messageFlag, nested } from './netlink-message.ts'

/** Numbers of linux/netfilter/nfnetlink.h and nf_tables.h. */
const batch = { begin: 16, end: 17 } as const
const message = { newTable: 0, deleteTable: 2, newChain: 3, newRule: 6 } as const
const family = { none: 0, inet: 1 } as const
const hook = { prerouting: 0, rawPriority: -300 } as const
const meta = { inputName: 6 } as const
const register = 1
const equal = 0

const table = 'sallyport'
const chain = 'notrack'

/** struct nfgenmsg */
const general = (of: number, resource = 0): Buffer => Buffer.from([of, 0, resource >> 8, resource & 255])

const frame: readonly [NetlinkRequest, NetlinkRequest] = [
  { type: batch.begin, flags: 0, payload: general(family.none, nftables.subsystem) },
  { type: batch.end, flags: 0, payload: general(family.none, nftables.subsystem) },
]

const request = (type: number, flags: number, ...attributes: readonly Buffer[]): NetlinkRequest => ({
  type: (nftables.subsystem << 8) | type,
  flags: flags | messageFlag.ack,
  payload: Buffer.concat([general(family.inet), ...attributes]),
})

/**
 * Keeps connection tracking away from what enters the stack by a device. So no rule translates its addresses, because the
 * kernel does that only to connections that it tracks. Returns false if the kernel has no nftables.
 */
export function ensureNotTracked(device: string): boolean {
  if (listChains().some((each) => each.table === table && each.name === chain)) return true
  return transact('keep connection tracking away from forwarded packets', [
    request(message.newTable, messageFlag.create, attributeText(1, table)),
    request(
      message.newChain,
      messageFlag.create,
      attributeText(1, table),
      attributeText(3, chain),
      nested(4, attributeU32Be(1, hook.prerouting), attributeU32Be(2, hook.rawPriority)),
      attributeText(7, 'filter'),
    ),
    request(
      message.newRule,
      messageFlag.create | messageFlag.append,
      attributeText(1, table),
      attributeText(2, chain),
      nested(4, ...ruleFor(device)),
    ),
  ])
}

/** `iifname DEVICE notrack` */
function ruleFor(device: string): Buffer[] {
  const name = Buffer.alloc(16)
  name.write(device)
  return [
    expression('meta', attributeU32Be(1, register), attributeU32Be(2, meta.inputName)),
    expression('cmp', attributeU32Be(1, register), attributeU32Be(2, equal), nested(3, attribute(1, name))),
    expression('notrack'),
  ]
}

const expression = (name: string, ...data: readonly Buffer[]): Buffer =>
  nested(1, attributeText(1, name), nested(2, ...data))

/** Returns whether there was one. */
export function removeNotTracked(): boolean {
  if (!listChains().some((each) => each.table === table)) return false
  return transact('remove the chain for forwarded packets', [
    request(message.deleteTable, 0, attributeText(1, table)),
  ])
}

function transact(attempted: string, requests: readonly NetlinkRequest[]): boolean {
  return ifSupported(false, () => {
    using netlink = new Netlink(undefined, nftables.protocol)
    netlink.transaction(attempted, requests, frame)
    return true
  })
}
