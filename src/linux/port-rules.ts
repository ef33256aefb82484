import type { Family } from '../net/address.ts'
import { ifSupported } from './netfilter.ts'
import type { Netlink } from './netlink.ts'
import {
  addressFamily,
  attribute,
  attributeText,
  attributeU8,
  attributeU32,
  decodeAttributes,
  messageFlag,
} from './netlink-message.ts'
import { routeProtocol } from './routes.ts'

/* Rules of policy routing that choose a table by a destination port: linux/fib_rules.h, `ip rule`. */

/** Applies to packets of this node's own processes only: `iif lo`. */
export interface PortRule {
  readonly family: Family
  /** IPPROTO_* */
  readonly protocol: number
  /** Of the destination. */
  readonly port: number
  readonly table: number
}

const message = { newRule: 32, deleteRule: 33, getRule: 34 } as const
const attributeType = {
  inputDevice: 3, priority: 6, table: 15, origin: 21, protocol: 22, destinationPorts: 24,
} as const // biome-ignore format: numbers of one header
const toTable = 1
const fixedLength = 12
/** Before the rule for the main table, and after the one for this node's own addresses. */
const priority = 8300

function fixedPart(family: Family, action: number): Buffer {
  const fixed = Buffer.alloc(fixedLength)
  fixed.writeUInt8(family === 4 ? addressFamily.ipv4 : addressFamily.ipv6, 0)
  fixed.writeUInt8(action, 7)
  return fixed
}

function encode({ family, protocol, port, table }: PortRule): Buffer[] {
  const ports = Buffer.alloc(4)
  ports.writeUInt16LE(port, 0)
  ports.writeUInt16LE(port, 2)
  return [
    fixedPart(family, toTable),
    attributeText(attributeType.inputDevice, 'lo'),
    attributeU32(attributeType.priority, priority),
    attributeU32(attributeType.table, table),
    attributeU8(attributeType.origin, routeProtocol),
    attributeU8(attributeType.protocol, protocol),
    attribute(attributeType.destinationPorts, ports),
  ]
}

/** Fails with EEXIST if the rule is there. */
export function addPortRule(netlink: Netlink, rule: PortRule): void {
  const flags = messageFlag.create | messageFlag.exclusive
  netlink.request(`add a routing rule for port ${rule.port}`, message.newRule, flags, ...encode(rule))
}

/** Fails with ENOENT if there is no such rule. */
export function deletePortRule(netlink: Netlink, rule: PortRule): void {
  netlink.request(`delete the routing rule for port ${rule.port}`, message.deleteRule, 0, ...encode(rule))
}

/** The rules that carry the protocol number of Sallyport. */
export function listPortRules(netlink: Netlink): PortRule[] {
  return ([4, 6] as const).flatMap((family) =>
    ifSupported([], () =>
      netlink
        .dump('list routing rules', message.getRule, fixedPart(family, 0))
        .flatMap(({ payload }) => decode(family, payload)),
    ),
  )
}

/** Whether a rule is of Sallyport. */
export function isOwnRule(attributes: ReadonlyMap<number, Buffer>): boolean {
  return attributes.get(attributeType.origin)?.readUInt8(0) === routeProtocol
}

function decode(family: Family, payload: Buffer): PortRule[] {
  const attributes = decodeAttributes(payload.subarray(fixedLength))
  const protocol = attributes.get(attributeType.protocol)?.readUInt8(0)
  const port = attributes.get(attributeType.destinationPorts)?.readUInt16LE(0)
  const table = attributes.get(attributeType.table)?.readUInt32LE(0)
  if (!isOwnRule(attributes) || protocol === undefined || port === undefined || table === undefined) return []
  return [{ family, protocol, port, table }]
}
