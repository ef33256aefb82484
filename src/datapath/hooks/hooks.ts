import { existsSync, mkdirSync, readdirSync, rmdirSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { isKernelError, native } from '../../linux/libc.ts'
import { pin, programById } from '../bpf-syscall.ts'
import { clsact } from './clsact.ts'
import type { AttachedProgram, Direction, HookKind, Place } from './hook-kind.ts'
import { tcx } from './tcx.ts'

/**
 * Programs on devices. They live as long as their device: longer than this process, and longer than the bpffs that it
 * pins in, so that a node which is taken apart never has an egress IP on a device and no program before it. They are
 * replaced in place, so that no packet finds the hook empty, and hang before those of others: one that redirects or
 * accepts would let a packet go that ours never saw.
 *
 * With tcx (kernel 6.6 and later) a program is one of several at its hook. Before, it is a filter of the device's clsact.
 * The pin is the program, kept to know of it; its name says what hangs where: `tcx-from_world-12-ingress`.
 */
export interface Attachment extends Place {
  readonly program: string
  readonly mechanism: Mechanism
  /** Others that packets meet first, where somebody went ahead. */
  readonly overtakenBy?: readonly string[]
}

export type { Direction }
export type Mechanism = 'tcx' | 'clsact'

const kinds: Readonly<Record<Mechanism, HookKind>> = { tcx, clsact }

/** Those of this kernel, the better one first. */
export function listMechanisms(): readonly Mechanism[] {
  const loopback = { ifindex: 1, direction: 'ingress' } as const
  return tcx.list(loopback) === undefined ? ['clsact'] : ['tcx', 'clsact']
}

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
      .flatMap((attachment) => {
        const { found, before } = look(attachment)
        if (found === undefined) this.#unpin(attachment)
        if (found === undefined) return []
        return before.length === 0 ? [attachment] : [{ ...attachment, overtakenBy: before }]
      })
  }

  /**
   * Attaches before the programs of others, or replaces what this program's earlier load left there. Throws HookTaken where
   * another has the place.
   */
  attach(program: string, programFd: number, ifindex: number, direction: Direction): Attachment {
    const attachment = {
      program,
      ifindex,
      direction,
      mechanism: this.#choose({ ifindex, direction }, program),
    }
    this.replace(attachment, programFd)
    return attachment
  }

  /** Where it hangs by the other already, it stays: to go over would take it away first. */
  #choose(place: Place, program: string): Mechanism {
    const other = { ...place, program, mechanism: this.#prefer === 'tcx' ? 'clsact' : 'tcx' } as const
    if (existsSync(this.#path(other)) && look(other).found !== undefined) return other.mechanism
    return listMechanisms().includes(this.#prefer) ? this.#prefer : 'clsact'
  }

  /** Swaps the program between two packets. Throws, and nothing has changed, where the device is gone. */
  replace(attachment: Attachment, programFd: number): void {
    const { program, mechanism } = attachment
    kinds[mechanism].put(attachment, { name: program, fd: programFd })
    if (existsSync(this.#path(attachment))) this.#unpin(attachment)
    pin(programFd, this.#path(attachment))
  }

  /**
   * Replaces the programs on all hooks, or leaves every one as it was: where one fails, those already replaced get
   * their old program back. Devices that vanish meanwhile do not count.
   */
  replaceAll(programFd: (program: string) => number): void {
    const undo: { attachment: Attachment; oldFd: number }[] = []
    try {
      for (const attachment of this.list()) {
        const id = look(attachment).found?.id
        if (id === undefined) continue
        undo.push({ attachment, oldFd: programById(id) })
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
    kinds[attachment.mechanism].detach(attachment, attachment.program)
    this.#unpin(attachment)
  }

  /** When nothing hangs on any device any more. */
  removeFolder(): void {
    rmdirSync(this.#directory)
  }

  #unpin(attachment: Attachment): void {
    unlinkSync(this.#path(attachment))
  }

  #path({ mechanism, program, ifindex, direction }: Attachment): string {
    return join(this.#directory, `${mechanism}-${program}-${ifindex}-${direction}`)
  }
}

/** The program at its hook, and the names of what packets meet before it. */
function look({ mechanism, program, ...place }: Attachment): {
  readonly found: AttachedProgram | undefined
  readonly before: readonly string[]
} {
  const hanging = kinds[mechanism].list(place) ?? []
  const index = hanging.findIndex(({ name }) => name === program)
  return { found: hanging[index], before: hanging.slice(0, Math.max(index, 0)).map(({ name }) => name) }
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
