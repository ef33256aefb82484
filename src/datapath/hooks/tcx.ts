import { isKernelError, native } from '../../linux/libc.ts'
import {
  attachProgram,
  type DeviceHook,
  detachProgram,
  loadVerdict,
  programById,
  programNameById,
  queryPrograms,
} from '../bpf-syscall.ts'
import {
  type AttachedProgram,
  describePlace,
  type HookKind,
  type NamedProgram,
  type Place,
} from './hook-kind.ts'

/** The hook of kernel 6.6 and later: a list of programs. The first program that redirects or accepts a packet ends the list. */
export const tcx: HookKind = { list, put, detach }

const attachType = { ingress: 46, egress: 47 } as const

/**
 * The kernel attaches a program to a hook only once, so a program has to be detached before it can move to the front. This
 * placeholder drops packets meanwhile. The sender repeats a dropped packet, but a packet that passes unchecked has leaked.
 */
const placeholder = 'sallyport_hold'
const drop = 2

function hookOf({ ifindex, direction }: Place): DeviceHook {
  return { ifindex, attachType: attachType[direction] }
}

function list(place: Place): AttachedProgram[] | undefined {
  try {
    return queryPrograms(hookOf(place)).flatMap((id) => {
      const name = programNameById(id)
      return name === undefined ? [] : [{ id, name }]
    })
  } catch (error) {
    if (isKernelError(error, 'EINVAL'))
      return undefined /* kernels before 6.6 do not know these attach types */
    if (isKernelError(error, 'ENODEV', 'ENOENT')) return []
    throw error
  }
}

function put(place: Place, program: NamedProgram): void {
  const attached = list(place) ?? []
  const [first] = attached
  if (first?.name === program.name) withProgram(first, (old) => replace(place, program, old))
  else if (attached.some(({ name }) => name === program.name)) move(place, program)
  else attachProgram(hookOf(place), program.fd, describePlace('attach', program.name, place))
  if (attached.some(({ name }) => name === placeholder))
    detach(place, placeholder) /* an agent was killed while it moved the program */
}

function replace(place: Place, { name, fd }: NamedProgram, oldFd: number): void {
  try {
    attachProgram(hookOf(place), fd, describePlace('replace', name, place), oldFd)
  } catch (error) {
    if (!isKernelError(error, 'EEXIST')) throw error /* this very program is already attached */
  }
}

function move(place: Place, { name, fd }: NamedProgram): void {
  const attempted = describePlace('move', name, place)
  const held = loadVerdict(placeholder, drop)
  try {
    attachProgram(hookOf(place), held, attempted)
    detach(place, name)
    attachProgram(hookOf(place), fd, attempted, held)
  } finally {
    native.close(held)
  }
}

function detach(place: Place, name: string): void {
  for (const each of list(place) ?? [])
    if (each.name === name) withProgram(each, (fd) => detachProgram(hookOf(place), fd))
}

function withProgram({ id }: AttachedProgram, work: (fd: number) => void): void {
  const fd = programById(id ?? 0)
  try {
    work(fd)
  } finally {
    native.close(fd)
  }
}
