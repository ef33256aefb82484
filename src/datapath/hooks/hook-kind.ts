/** Where programs are attached: one direction of one device. */
export interface Place {
  readonly ifindex: number
  readonly direction: Direction
}

export type Direction = 'ingress' | 'egress'

/** A program, or a filter of another kind, that packets go through at a place. */
export interface AttachedProgram {
  /** The eBPF program's name in the kernel. For a filter that is not an eBPF program, the filter's kind. */
  readonly name: string
  /** The kernel's id. Undefined for a filter that is not an eBPF program. */
  readonly id: number | undefined
}

/**
 * One of the kernel's ways to attach programs to devices. Sallyport finds its programs by name, not from a record,
 * because an agent may have been killed between two steps, or another product may have removed the program.
 */
export interface HookKind {
  /** In the order in which they run. Undefined if the kernel has no such hook, empty if the device is gone. */
  list(place: Place): readonly AttachedProgram[] | undefined
  /**
   * Attaches a program in front of all others. An earlier load of the program is replaced in place, so that no packet
   * finds the hook empty. Throws HookTaken if this would remove another product's program.
   */
  put(place: Place, program: NamedProgram): void
  /** Does nothing if the program is not attached. */
  detach(place: Place, name: string): void
}

export interface NamedProgram {
  readonly name: string
  readonly fd: number
}

/** Another product occupies the place that ours needs, and is left alone. The message says where, and what to do. */
export class HookTaken extends Error {}

export function describePlace(attempted: string, name: string, { ifindex, direction }: Place): string {
  return `${attempted} ${name} at the ${direction} of device ${ifindex}`
}
