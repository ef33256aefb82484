/** A port range of one protocol that a NetworkPolicy allows. */
export interface ProtocolPorts {
  /** As in an IP header. */
  readonly protocol: number
  readonly first: number
  readonly last: number
}

/** Every protocol and port, or ranges. An empty list allows nothing. */
export type AllowedPorts = 'all' | readonly ProtocolPorts[]

/** A port of an egress rule, as a NetworkPolicy has it. */
export interface NetworkPolicyPort {
  readonly protocol?: string
  readonly port?: number | string
  readonly endPort?: number
}

const protocols: Readonly<Record<string, number>> = { TCP: 6, UDP: 17, SCTP: 132 }

/** The port range, or what is wrong with it, in words. */
export function readPort({ protocol = 'TCP', port, endPort }: NetworkPolicyPort): ProtocolPorts | string {
  const number = Object.hasOwn(protocols, protocol) ? protocols[protocol] : undefined
  if (number === undefined) return `the protocol ${JSON.stringify(protocol)} is unknown`
  if (port === undefined)
    return endPort === undefined
      ? { protocol: number, first: 0, last: 65535 }
      : `endPort ${endPort} has no port before it`
  if (typeof port === 'string')
    return `the named port ${JSON.stringify(port)} is a port of no destination outside the cluster; write its number`
  const last = endPort ?? port
  if (!isPort(port) || !isPort(last) || last < port) return `${port} to ${last} is no range of ports`
  return { protocol: number, first: port, last }
}

function isPort(port: number): boolean {
  return Number.isInteger(port) && port >= 1 && port <= 65535
}

/** What any of them allows: sorted, and as few ranges as possible. */
export function uniteAllowed(each: readonly AllowedPorts[]): AllowedPorts {
  const united: ProtocolPorts[] = []
  const ranges = each.flatMap((allowed) => (allowed === 'all' ? [] : allowed))
  if (each.includes('all')) return 'all'
  for (const range of ranges.toSorted((a, b) => a.protocol - b.protocol || a.first - b.first)) {
    const before = united.at(-1)
    if (before?.protocol === range.protocol && range.first <= before.last + 1)
      united[united.length - 1] = { ...before, last: Math.max(before.last, range.last) }
    else united.push(range)
  }
  return united
}

/** Two sets of ports are the same if their keys are. */
export function keyOfPorts(allowed: AllowedPorts): string {
  if (allowed === 'all') return allowed
  return allowed.map(({ protocol, first, last }) => `${protocol}:${first}-${last}`).join(',')
}
