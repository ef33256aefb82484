import { existsSync, mkdirSync, readdirSync, rmdirSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import {
  attachProgram,
  type DeviceHook,
  detachProgram,
  getPinned,
  pin,
  programById,
  programName,
  queryPrograms,
} from './bpf-syscall.ts'
import { libbpf, tcHook, tcOptions } from './libbpf.ts'
import { checkNegative, isKernelError, native } from './libc.ts'

/**
 * Programs on devices. They live as long as their device: longer than this process, and longer than the bpffs that it
 * pins in, so that a node which is taken apart never has an egress IP on a device and no program before it. They are
 * replaced in place, so that no packet finds the hook empty.
 *
 * With tcx (kernel 6.6 and later) a program is one of several at its hook. Before, it hangs on the device's clsact qdisc.
 * The pin is the program, kept to know of it; its name says what hangs where: `tcx-from_world-12-ingress`.
 */
export interface Attachment {
  readonly program: string
  readonly ifindex: number
  readonly direction: Direction
  readonly mechanism: Mechanism
}

export type Direction = 'ingress' | 'egress'
export type Mechanism = 'tcx' | 'clsact'

const tcxAttachType = { ingress: 46, egress: 47 } as const
const replaceFlag = 1

export class Hooks {
  readonly #directory: string
  readonly #prefer: Mechanism

  /** `prefer: 'clsact'` leaves tcx alone also where the kernel has it. */
  constructor(pinDirectory: string, prefer: Mechanism = 'tcx') {
    this.#directory = join(pinDirectory, 'hooks')
    this.#prefer = prefer
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 })
  }

  /** Those that still hang where they were put. Pins of others, and of devices that are gone, are removed on the way. */
  list(): Attachment[] {
    return readdirSync(this.#directory)
      .map(parseName)
      .filter((attachment) => attachment !== undefined)
      .filter((attachment) => this.#isAlive(attachment) || this.#unpin(attachment))
  }

  /** Attaches, or replaces in place what this program's earlier load left there. */
  attach(program: string, programFd: number, ifindex: number, direction: Direction): Attachment {
    for (const mechanism of ['tcx', 'clsact'] as const) {
      const attachment = { program, ifindex, direction, mechanism }
      if (mechanism !== this.#prefer && !existsSync(this.#path(attachment))) continue
      if (!this.#isAlive(attachment)) continue
      this.replace(attachment, programFd)
      return attachment
    }
    const wanted = { program, ifindex, direction, mechanism: 'tcx' as const }
    const attachment =
      this.#prefer === 'tcx' && hasTcx(wanted) ? wanted : { ...wanted, mechanism: 'clsact' as const }
    if (attachment.mechanism === 'tcx') attachToHook(attachment, programFd)
    else this.#attachClsact(attachment, programFd)
    return this.#pin(attachment, programFd)
  }

  /** Swaps the program between two packets. Throws, and nothing has changed, where the device is gone. */
  replace(attachment: Attachment, programFd: number): void {
    if (attachment.mechanism === 'clsact') this.#attachClsact(attachment, programFd)
    else withFd(this.#currentProgram(attachment), (old) => replaceOnHook(attachment, programFd, old))
    this.#pin(attachment, programFd)
  }

  /**
   * Replaces the programs on all hooks, or leaves every one as it was: where one fails, those already replaced get
   * their old program back. Devices that vanish meanwhile do not count.
   */
  replaceAll(programFd: (program: string) => number): void {
    const undo: { attachment: Attachment; oldFd: number }[] = []
    try {
      for (const attachment of this.list()) {
        undo.push({ attachment, oldFd: this.#currentProgram(attachment) })
        this.#replaceUnlessGone(attachment, programFd(attachment.program))
      }
    } catch (error) {
      for (const { attachment, oldFd } of undo) this.#replaceUnlessGone(attachment, oldFd)
      throw error
    } finally {
      for (const { oldFd } of undo) native.close(oldFd)
    }
  }

  #replaceUnlessGone(attachment: Attachment, programFd: number): void {
    try {
      this.replace(attachment, programFd)
    } catch (error) {
      if (!isKernelError(error, 'ENOLINK', 'ENODEV', 'ENOENT')) throw error
    }
  }

  detach(attachment: Attachment): void {
    if (attachment.mechanism === 'tcx') {
      const found = findOnHook(attachment)
      if (found !== undefined) withFd(found, (fd) => detachProgram(hookOf(attachment), fd))
    } else {
      const result = libbpf().hookDetach(tcHook(attachment.ifindex, attachment.direction), tcOptions(0, 0))
      /* No such device or no such filter: it is detached, which was asked for. */
      if (result !== -19 && result !== -2 && result !== -22)
        checkNegative(describe('detach', attachment), result)
    }
    this.#unpin(attachment)
  }

  /** When nothing hangs on any device any more. */
  removeFolder(): void {
    rmdirSync(this.#directory)
  }

  #attachClsact(attachment: Attachment, programFd: number): void {
    const hook = tcHook(attachment.ifindex, attachment.direction)
    const exists = -17
    const created = libbpf().hookCreate(hook)
    if (created !== exists)
      checkNegative(describe('attach', attachment), created, 'there is no clsact qdisc, and none can be made')
    const result = libbpf().hookAttach(hook, tcOptions(programFd, replaceFlag))
    checkNegative(describe('attach', attachment), result)
  }

  #isAlive(attachment: Attachment): boolean {
    if (attachment.mechanism === 'clsact')
      return (
        existsSync(this.#path(attachment)) &&
        native.ifIndexToName(attachment.ifindex, Buffer.alloc(16)) !== null
      )
    const found = findOnHook(attachment)
    if (found !== undefined) native.close(found)
    return found !== undefined
  }

  /** A descriptor of the program that hangs there now; the caller closes it. */
  #currentProgram(attachment: Attachment): number {
    if (attachment.mechanism === 'clsact') return getPinned(this.#path(attachment))
    const found = findOnHook(attachment)
    if (found === undefined) throw new Error(`${describe('replace', attachment)}: it does not hang there`)
    return found
  }

  #pin(attachment: Attachment, programFd: number): Attachment {
    if (existsSync(this.#path(attachment))) this.#unpin(attachment)
    pin(programFd, this.#path(attachment))
    return attachment
  }

  #unpin(attachment: Attachment): false {
    unlinkSync(this.#path(attachment))
    return false
  }

  #path({ mechanism, program, ifindex, direction }: Attachment): string {
    return join(this.#directory, `${mechanism}-${program}-${ifindex}-${direction}`)
  }
}

function hookOf({ ifindex, direction }: Attachment): DeviceHook {
  return { ifindex, attachType: tcxAttachType[direction] }
}

/**
 * A descriptor of the program at a tcx hook; the caller closes it. It is known by its name, not by its pin: the pin may
 * be gone, or be that of the load before, where an agent was killed between two steps.
 */
function findOnHook(attachment: Attachment): number | undefined {
  for (const id of programsAt(attachment) ?? []) {
    const fd = programById(id)
    if (programName(fd) === attachment.program) return fd
    native.close(fd)
  }
  return undefined
}

function attachToHook(attachment: Attachment, programFd: number): void {
  try {
    attachProgram(hookOf(attachment), programFd)
  } catch (error) {
    throw new Error(`${describe('attach', attachment)}: ${(error as Error).message}`, { cause: error })
  }
}

function replaceOnHook(attachment: Attachment, programFd: number, oldFd: number): void {
  try {
    attachProgram(hookOf(attachment), programFd, oldFd)
  } catch (error) {
    if (!isKernelError(error, 'EEXIST')) throw error /* that very program hangs there already */
  }
}

/** Before 6.6 these attach types mean nothing. */
function hasTcx(attachment: Attachment): boolean {
  return programsAt(attachment) !== undefined
}

/** Undefined where the kernel has no tcx; none where the device is gone. */
function programsAt(attachment: Attachment): readonly number[] | undefined {
  try {
    return queryPrograms(hookOf(attachment))
  } catch (error) {
    if (isKernelError(error, 'EINVAL')) return undefined
    if (isKernelError(error, 'ENODEV', 'ENOENT')) return []
    throw error
  }
}

function withFd(fd: number, work: (fd: number) => void): void {
  try {
    work(fd)
  } finally {
    native.close(fd)
  }
}

function describe(attempted: string, { program, ifindex, direction }: Attachment): string {
  return `${attempted} ${program} at the ${direction} of device ${ifindex}`
}

function parseName(name: string): Attachment | undefined {
  const match = /^(tcx|clsact)-(\w+)-(\d+)-(ingress|egress)$/.exec(name)
  if (match === null) return undefined
  const [, mechanism, program = '', ifindex, direction] = match
  return {
    program,
    ifindex: Number(ifindex),
    direction: direction as Direction,
    mechanism: mechanism as Mechanism,
  }
}
