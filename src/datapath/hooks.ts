import { existsSync, mkdirSync, readdirSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { createLink, detachLink, getPinned, linkInfo, pin, programById, updateLink } from './bpf-syscall.ts'
import { libbpf, tcHook, tcOptions } from './libbpf.ts'
import { checkNegative, isKernelError, native } from './libc.ts'

/**
 * Programs on devices. Each attachment is pinned, so that it outlives this process, and replaced in place, so
 * that no packet finds the hook empty. The pin's name says what hangs where: `tcx-from_world-12-ingress`.
 *
 * With tcx (kernel 6.6 and later) the pin is the link. Before, the program hangs on the device's clsact qdisc,
 * and the pin is the program, kept only to know of it.
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

  /** Those whose device still exists. Pins of devices that are gone are removed on the way. */
  list(): Attachment[] {
    return readdirSync(this.#directory)
      .map(parseName)
      .filter((attachment) => attachment !== undefined)
      .filter((attachment) => this.#isAlive(attachment) || this.#unpin(attachment))
  }

  /** Attaches, or replaces in place what this program's earlier load left there. */
  attach(program: string, programFd: number, ifindex: number, direction: Direction): Attachment {
    for (const mechanism of this.#prefer === 'tcx'
      ? (['tcx', 'clsact'] as const)
      : (['clsact', 'tcx'] as const)) {
      const attachment = { program, ifindex, direction, mechanism }
      if (existsSync(this.#path(attachment))) {
        if (this.#isAlive(attachment)) {
          this.replace(attachment, programFd)
          return attachment
        }
        this.#unpin(attachment)
      }
    }
    if (this.#prefer === 'tcx') {
      const attachment = { program, ifindex, direction, mechanism: 'tcx' as const }
      if (this.#attachTcx(attachment, programFd)) return attachment
    }
    const attachment = { program, ifindex, direction, mechanism: 'clsact' as const }
    this.#attachClsact(attachment, programFd)
    pin(programFd, this.#path(attachment))
    return attachment
  }

  /** Swaps the program between two packets. Throws, and nothing has changed, where the device is gone. */
  replace(attachment: Attachment, programFd: number): void {
    if (attachment.mechanism === 'clsact') {
      this.#attachClsact(attachment, programFd)
      unlinkSync(this.#path(attachment))
      pin(programFd, this.#path(attachment))
      return
    }
    this.#withPinned(attachment, (link) => updateLink(link, programFd))
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

  /** A descriptor of the program that hangs there now; the caller closes it. */
  #currentProgram(attachment: Attachment): number {
    if (attachment.mechanism === 'clsact') return getPinned(this.#path(attachment))
    return this.#withPinned(attachment, (link) => programById(linkInfo(link).programId))
  }

  detach(attachment: Attachment): void {
    if (attachment.mechanism === 'tcx') {
      this.#withPinned(attachment, detachLink)
    } else {
      const result = libbpf().hookDetach(tcHook(attachment.ifindex, attachment.direction), tcOptions(0, 0))
      /* No such device or no such filter: it is detached, which was asked for. */
      if (result !== -19 && result !== -2 && result !== -22)
        checkNegative(describe('detach', attachment), result)
    }
    this.#unpin(attachment)
  }

  /** False where the kernel has no tcx. */
  #attachTcx(attachment: Attachment, programFd: number): boolean {
    let link: number
    try {
      link = createLink(programFd, attachment.ifindex, tcxAttachType[attachment.direction])
    } catch (error) {
      if (isKernelError(error, 'EINVAL')) return false /* before 6.6 this attach type means nothing */
      throw new Error(`${describe('attach', attachment)}: ${(error as Error).message}`, { cause: error })
    }
    try {
      pin(link, this.#path(attachment))
    } finally {
      native.close(link)
    }
    return true
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
      return native.ifIndexToName(attachment.ifindex, Buffer.alloc(16)) !== null
    return this.#withPinned(attachment, (link) => linkInfo(link).ifindex !== 0)
  }

  #withPinned<T>(attachment: Attachment, work: (fd: number) => T): T {
    const fd = getPinned(this.#path(attachment))
    try {
      return work(fd)
    } finally {
      native.close(fd)
    }
  }

  #unpin(attachment: Attachment): false {
    unlinkSync(this.#path(attachment))
    return false
  }

  #path({ mechanism, program, ifindex, direction }: Attachment): string {
    return join(this.#directory, `${mechanism}-${program}-${ifindex}-${direction}`)
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
