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

/** The hook of kernel 6.6 and later: a list of programs, of which one that redirects or accepts is the last to run. */
export const tcx: HookKind = { list, put, detach }

const attachType = { ingress: 46, egress: 47 } as const

/**
 * A program hangs at a hook once, so that one cannot be put before another without being taken away first. This one
 * holds its place meanwhile and drops: a packet less is sent again, one that nobody has looked at has left.
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
    if (isKernelError(error, 'EINVAL')) return undefined /* before 6.6 these attach types mean nothing */
    if (isKernelError(error, 'ENODEV', 'ENOENT')) return []
    throw error
  }
}

function put(place: Place, program: NamedProgram): void {
  const hanging = list(place) ?? []
  const [first] = hanging
  if (first?.name === program.name) withProgram(first, (old) => replace(place, program, old))
  else if (hanging.some(({ name }) => name === program.name)) move(place, program)
  else attachProgram(hookOf(place), program.fd, describePlace('attach', program.name, place))
  if (hanging.some(({ name }) => name === placeholder))
    detach(place, placeholder) /* an agent died while it moved */
}

function replace(place: Place, { name, fd }: NamedProgram, oldFd: number): void {
  try {
    attachProgram(hookOf(place), fd, describePlace('replace', name, place), oldFd)
  } catch (error) {
    if (!isKernelError(error, 'EEXIST')) throw error /* that very program hangs there already */
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
