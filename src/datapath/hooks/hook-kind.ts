/** Where programs hang: one direction of one device. */
export interface Place {
  readonly ifindex: number
  readonly direction: Direction
}

export type Direction = 'ingress' | 'egress'

/** Something at a place that packets run into. */
export interface AttachedProgram {
  /** The program's name as the kernel has it; of what is no eBPF program, its kind. */
  readonly name: string
  /** The kernel's id; undefined where it is no eBPF program. */
  readonly id: number | undefined
}

/**
 * One of the kernel's ways to attach programs to devices. Sallyport's programs are found by name, not from a record:
 * an agent may have been killed between two steps, or somebody may have taken it away.
 */
export interface HookKind {
  /** The first to run first; undefined where the kernel has no such hook, none where the device is gone. */
  list(place: Place): readonly AttachedProgram[] | undefined
  /**
   * Hangs a program before everything else. Its earlier load is replaced in place, so that no packet finds the hook empty.
   * Throws HookTaken where that would take away what is another's.
   */
  put(place: Place, program: NamedProgram): void
  /** One that is not there is detached, which was asked for. */
  detach(place: Place, name: string): void
}

export interface NamedProgram {
  readonly name: string
  readonly fd: number
}

/** Another has what ours would need: nothing that is not ours is replaced. The message says where, and the remedy. */
export class HookTaken extends Error {}

export function describePlace(attempted: string, name: string, { ifindex, direction }: Place): string {
  return `${attempted} ${name} at the ${direction} of device ${ifindex}`
}
