import type { Address } from '../../net/address.ts'

/** Counts egress IPs of other nodes as this node takes them over and gives them up. */
export class TakeoverCounts {
  #foreign: ReadonlySet<Address> = new Set()
  takenOver = 0
  handedBack = 0

  /** `held`: what is on this node's devices now. `own`: whether an egress IP belongs here. */
  note(held: ReadonlySet<Address>, isOwn: (address: Address) => boolean): void {
    const foreign = new Set([...held].filter((address) => !isOwn(address)))
    for (const address of foreign) if (!this.#foreign.has(address)) this.takenOver++
    for (const address of this.#foreign) if (!foreign.has(address)) this.handedBack++
    this.#foreign = foreign
  }
}
