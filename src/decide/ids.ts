import { createHash } from 'node:crypto'

/**
 * A 64-bit id computed from its content, so every start computes the same id, and an id never changes its meaning. It is
 * never 0, which means "none" in the datapath. Two of a million contents collide once in 37 million clusters.
 */
export function contentId(...parts: readonly string[]): bigint {
  const digest = createHash('sha256')
    .update(parts.map((part) => `${part.length}:${part}`).join(''))
    .digest()
  return digest.readBigUInt64LE(0) || 1n
}

/** FNV-1a, 32 bits. With the pod's UID as text, it chooses one of several gateways, as the compatible kinds do. */
export function fnv1a32(text: string): number {
  let hash = 0x811c9dc5
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0
  return hash
}
