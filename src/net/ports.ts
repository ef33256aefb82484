/** Ports are assigned in blocks of 16. PORT_BLOCK_BITS and PORT_BLOCKS of bpf/types.h say the same. */
export const blockBits = 4
export const portsPerBlock = 1 << blockBits
export const portBlocks = 65536 >> blockBits

export interface PortRange {
  readonly first: number
  readonly last: number
}

/** How the ports of an egress IP are divided. Both ends are included. */
export const regions = {
  /** Leased on demand. */
  lease: { first: 1024, last: 32767 },
  /** Split evenly over the slots, by arithmetic. */
  floor: { first: 32768, last: 65535 },
  /** Of a node's own address: only this node uses them, for traffic that no policy selects. */
  masquerade: { first: 49152, last: 57343 },
  /** Of a node's own address: a small floor, for policies that name neither interface nor egress IP. */
  shared: { first: 57344, last: 65535 },
} as const

/** Which ports of egress IPs flows may use. */
export interface PortSettings {
  readonly range: PortRange
  readonly excluded: readonly PortRange[]
}

/** `30000-32767`, or one port. Undefined if the text is not a range of ports from 1 to 65535. */
export function parsePortRange(text: string): PortRange | undefined {
  const [, firstText, lastText = firstText] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text) ?? []
  const [first, last] = [Number(firstText), Number(lastText)]
  return first >= 1 && first <= last && last <= 65535 ? { first, last } : undefined
}

/** Blocks of which flows may use every port. */
export function usableBlocks({ range, excluded }: PortSettings): ReadonlySet<number> {
  const first = blockOfPort(range.first + portsPerBlock - 1)
  const past = blockOfPort(range.last + 1)
  const blocks = new Set(Array.from({ length: Math.max(past - first, 0) }, (_, index) => first + index))
  for (const each of excluded) for (const block of blocksOfRange(each)) blocks.delete(block)
  return blocks
}

export function blockOfPort(port: number): number {
  return port >> blockBits
}

export function blocksOfRange({ first, last }: PortRange): number[] {
  const start = blockOfPort(first)
  return Array.from({ length: blockOfPort(last) - start + 1 }, (_, index) => start + index)
}

/** How many blocks of a region each slot has. 0 if there are more slots than blocks. */
export function blocksPerSlot({ first, last }: PortRange, slots: number): number {
  return Math.floor((blockOfPort(last) - blockOfPort(first) + 1) / slots)
}
