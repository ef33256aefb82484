import { existsSync, mkdirSync, readdirSync, rmdirSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { isKernelError, native } from '../../linux/libc.ts'
import { pin, programById } from '../bpf-syscall.ts'
import { clsact } from './clsact.ts'
import type { AttachedProgram, Direction, HookKind, Place } from './hook-kind.ts'
import { tcx } from './tcx.ts'

/**
 * An attached program. It lives as long as its device, so longer than this process and longer than the bpffs with the pins.
 * So no step of an uninstall leaves a device with an egress IP and without its program. Programs are replaced in place, so
 * that no packet finds the hook empty. They run before other products' programs, because a program that redirects or
 * accepts a packet would hide it from ours.
 *
 * With tcx (kernel 6.6 and later) a hook has a list of programs. On older kernels a program is a filter of the device's
 * clsact. Each program is pinned, so that the next agent knows of it. The pin's name says where the program is attached:
 * `tcx-from_world-12-ingress`.
 */
export interface Attachment extends Place {
  readonly program: string
  readonly mechanism: Mechanism
  /** Other products' programs that run before this one. */
  readonly overtakenBy?: readonly string[]
}

export type { Direction }
export type Mechanism = 'tcx' | 'clsact'

const kinds: Readonly<Record<Mechanism, HookKind>> = { tcx, clsact }

/** The mechanisms that this kernel has, the preferred one first. */
export function listMechanisms(): readonly Mechanism[] {
  const loopback = { ifindex: 1, direction: 'ingress' } as const
  return tcx.list(loopback) === undefined ? ['clsact'] : ['tcx', 'clsact']
}

export class Hooks {
  readonly #directory: string
  readonly #prefer: Mechanism

  /** `prefer: 'clsact'` uses clsact even if the kernel has tcx. */
  constructor(pinDirectory: string, prefer: Mechanism = 'tcx') {
    this.#directory = join(pinDirectory, 'hooks')
    this.#prefer = prefer
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 })
  }

  /** Lists the programs that are still attached. Removes the pins of the others, for example those of deleted devices. */
  list(): Attachment[] {
    return readdirSync(this.#directory)
      .map(parseName)
      .filter((attachment) => attachment !== undefined)
      .flatMap((attachment) => {
        const { found, before } = findAtHook(attachment)
        if (found === undefined) this.#unpin(attachment)
        if (found === undefined) return []
        return before.length === 0 ? [attachment] : [{ ...attachment, overtakenBy: before }]
      })
  }

  /**
   * Attaches a program in front of other products' programs, or replaces its earlier load. Throws HookTaken if another
   * product occupies the place.
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

  /** A program that is attached by the other mechanism stays there, because a change would leave a moment without it. */
  #choose(place: Place, program: string): Mechanism {
    const other = { ...place, program, mechanism: this.#prefer === 'tcx' ? 'clsact' : 'tcx' } as const
    if (existsSync(this.#path(other)) && findAtHook(other).found !== undefined) return other.mechanism
    return listMechanisms().includes(this.#prefer) ? this.#prefer : 'clsact'
  }

  /** Replaces the program between two packets. If the device is gone, throws and changes nothing. */
  replace(attachment: Attachment, programFd: number): void {
    const { program, mechanism } = attachment
    kinds[mechanism].put(attachment, { name: program, fd: programFd })
    if (existsSync(this.#path(attachment))) this.#unpin(attachment)
    pin(programFd, this.#path(attachment))
  }

  /**
   * Replaces the programs on all hooks, or none: if one replacement fails, the hooks that were already replaced get their
   * old programs back. A device that disappears meanwhile is not a failure.
   */
  replaceAll(programFd: (program: string) => number): void {
    const undo: { attachment: Attachment; oldFd: number }[] = []
    try {
      for (const attachment of this.list()) {
        const id = findAtHook(attachment).found?.id
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

  /** Call it when no program is attached to any device. */
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

/** Finds the program at its hook, and the names of the programs that run before it. */
function findAtHook({ mechanism, program, ...place }: Attachment): {
  readonly found: AttachedProgram | undefined
  readonly before: readonly string[]
} {
  const attached = kinds[mechanism].list(place) ?? []
  const index = attached.findIndex(({ name }) => name === program)
  return { found: attached[index], before: attached.slice(0, Math.max(index, 0)).map(({ name }) => name) }
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
