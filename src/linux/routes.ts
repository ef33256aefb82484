import type { Address } from '../net/address.ts'
import { type Prefix, parsePrefix, prefixAddress, prefixLength } from '../net/prefix.ts'
import type { Netlink } from './netlink.ts'
import {
  addressFamily,
  attribute,
  attributeU8,
  attributeU16Be,
  attributeU32,
  attributeU64Be,
  decodeAttributes,
  messageFlag,
  messageType,
  nested,
} from './netlink-message.ts'
import { familyNumber, fromKernelBytes, kernelBytes } from './network-address.ts'

export interface Route {
  readonly destination: Prefix
  readonly kind: RouteKind
  readonly via?: Address
  readonly ifindex?: number
  /** The source address of packets from the node's own sockets. */
  readonly source?: Address
  /** Default: the main table. */
  readonly table?: number
  readonly metric?: number
  readonly mtu?: number
  /** `link`: destinations are on the device's link. `global`: they are behind a router. */
  readonly scope?: 'global' | 'link' | 'host'
  /** The router counts as reachable on the device, even if no route leads to it. */
  readonly isOnLink?: boolean
  /** For a route into an `external` VXLAN device: the tunnel's addresses and VNI. */
  readonly tunnel?: { readonly id: bigint; readonly destination: Address; readonly source?: Address }
}

type RouteKind = 'unicast' | 'local' | 'blackhole' | 'unreachable'

const attributeType = {
  destination: 1, device: 4, gateway: 5, priority: 6, source: 7, metrics: 8, table: 15, encapType: 21, encap: 22,
} as const // biome-ignore format: numbers of one header
const metricMtu = 2
const tunnelAttribute = { id: 1, destination: 2, source: 3, timeToLive: 4, flags: 6 } as const
const encapIp = { 4: 2, 6: 4 } as const
const kinds: Readonly<Record<RouteKind, number>> = { unicast: 1, local: 2, blackhole: 6, unreachable: 7 }
const scopes = { global: 0, link: 253, host: 254 } as const
const mainTable = 254
const onLinkFlag = 4
const tunnelKeyFlag = 4 /* TUNNEL_KEY: the id is valid */
const tunnelTtl = 64

/** The protocol number of Sallyport's routes: `ip route show proto 83`. No registered routing daemon uses it. */
export const routeProtocol = 83

const fixedLength = 12

function fixedPart(route: Partial<Route>, family: number): Buffer {
  const table = route.table ?? mainTable
  const fixed = Buffer.alloc(fixedLength)
  fixed.writeUInt8(family, 0)
  fixed.writeUInt8(route.destination === undefined ? 0 : prefixLength(route.destination), 1)
  fixed.writeUInt8(table < 256 ? table : 0, 4)
  fixed.writeUInt8(routeProtocol, 5)
  fixed.writeUInt8(
    scopes[route.scope ?? (route.via === undefined && route.kind === 'unicast' ? 'link' : 'global')],
    6,
  )
  fixed.writeUInt8(kinds[route.kind ?? 'unicast'], 7)
  fixed.writeUInt32LE(route.isOnLink ? onLinkFlag : 0, 8)
  return fixed
}

function encode(route: Route): Buffer[] {
  const { via, ifindex, source, metric, mtu, tunnel } = route
  const target = prefixAddress(route.destination)
  return [
    fixedPart(route, familyNumber(target)),
    attribute(attributeType.destination, kernelBytes(target)),
    attributeU32(attributeType.table, route.table ?? mainTable),
    ...(via === undefined ? [] : [attribute(attributeType.gateway, kernelBytes(via))]),
    ...(ifindex === undefined ? [] : [attributeU32(attributeType.device, ifindex)]),
    ...(source === undefined ? [] : [attribute(attributeType.source, kernelBytes(source))]),
    ...(metric === undefined ? [] : [attributeU32(attributeType.priority, metric)]),
    ...(mtu === undefined ? [] : [nested(attributeType.metrics, attributeU32(metricMtu, mtu))]),
    ...(tunnel === undefined ? [] : encodeTunnel(tunnel)),
  ]
}

function encodeTunnel({ id, destination, source }: NonNullable<Route['tunnel']>): Buffer[] {
  const type = encapIp[destination.includes(':') ? 6 : 4]
  const encapType = Buffer.alloc(2)
  encapType.writeUInt16LE(type)
  return [
    attribute(attributeType.encapType, encapType),
    nested(
      attributeType.encap,
      attributeU64Be(tunnelAttribute.id, id),
      attribute(tunnelAttribute.destination, kernelBytes(destination)),
      ...(source === undefined ? [] : [attribute(tunnelAttribute.source, kernelBytes(source))]),
      attributeU8(tunnelAttribute.timeToLive, tunnelTtl),
      attributeU16Be(tunnelAttribute.flags, tunnelKeyFlag),
    ),
  ]
}

/** Adds the route, or replaces the one with the same destination, table and metric. */
export function putRoute(netlink: Netlink, route: Route): void {
  const flags = messageFlag.create | messageFlag.replace
  netlink.request(`add the route to ${route.destination}`, messageType.newRoute, flags, ...encode(route))
}

/** Fails with ESRCH if there is no such route. */
export function deleteRoute(netlink: Netlink, route: Route): void {
  netlink.request(`delete the route to ${route.destination}`, messageType.deleteRoute, 0, ...encode(route))
}

/** The routes of one table or of all, or of one device in it. Leaves out kinds of routes that this module cannot describe. */
export function listRoutes(
  netlink: Netlink,
  { family, table = mainTable, ifindex }: { family: 4 | 6; table?: number | 'any'; ifindex?: number },
): Route[] {
  const request = Buffer.alloc(fixedLength)
  request.writeUInt8(family === 4 ? addressFamily.ipv4 : addressFamily.ipv6, 0)
  const ofDevice = ifindex === undefined ? [] : [attributeU32(attributeType.device, ifindex)]
  return netlink
    .dump('list routes', messageType.getRoute, request, ...ofDevice)
    .map(({ payload }) => decodeRoute(payload))
    .filter((route) => route !== undefined)
    .filter((route) => table === 'any' || route.table === table)
}

export function decodeRoute(payload: Buffer): Route | undefined {
  const attributes = decodeAttributes(payload.subarray(fixedLength))
  const number = (type: number): number | undefined => attributes.get(type)?.readUInt32LE(0)
  const address = (type: number): Address | undefined => {
    const bytes = attributes.get(type)
    return bytes && fromKernelBytes(bytes)
  }
  const kind = (Object.keys(kinds) as RouteKind[]).find((name) => kinds[name] === payload.readUInt8(7))
  const isIpv6 = payload.readUInt8(0) === addressFamily.ipv6
  const target = address(attributeType.destination) ?? (isIpv6 ? '::' : '0.0.0.0')
  const destination = parsePrefix(`${target}/${payload.readUInt8(1)}`)
  if (kind === undefined || destination === undefined) return undefined
  const metrics = attributes.get(attributeType.metrics)
  const scope = payload.readUInt8(6)
  return withoutUndefined({
    destination,
    kind,
    via: address(attributeType.gateway),
    ifindex: number(attributeType.device),
    source: address(attributeType.source),
    table: number(attributeType.table) ?? payload.readUInt8(4),
    metric: number(attributeType.priority),
    mtu: metrics && decodeAttributes(metrics).get(metricMtu)?.readUInt32LE(0),
    scope:
      scope === scopes.host
        ? ('host' as const)
        : scope === scopes.link
          ? ('link' as const)
          : ('global' as const),
    isOnLink: (payload.readUInt32LE(8) & onLinkFlag) !== 0,
    tunnel: decodeTunnel(attributes.get(attributeType.encap)),
  })
}

function decodeTunnel(encap: Buffer | undefined): Route['tunnel'] {
  const attributes = encap && decodeAttributes(encap)
  const id = attributes?.get(tunnelAttribute.id)
  const destination = attributes?.get(tunnelAttribute.destination)
  if (id?.length !== 8 || destination === undefined) return undefined
  return { id: id.readBigUInt64BE(0), destination: fromKernelBytes(destination) }
}

type Defined<T> = { [K in keyof T]: Exclude<T[K], undefined> }

/** Leaves out undefined properties, because exactOptionalPropertyTypes and comparisons of routes tell them from absent ones. */
function withoutUndefined<T extends object>(value: T): Defined<T> {
  return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as Defined<T>
}
