import { checkNegative, isKernelError } from '../../linux/libc.ts'
import { Netlink } from '../../linux/netlink.ts'
import { decodeAttributes, messageType, textOf } from '../../linux/netlink-message.ts'
import { programNameById } from '../bpf-syscall.ts'
import { libbpf, tcHook, tcOptions } from '../libbpf.ts'
import {
  type AttachedProgram,
  describePlace,
  type HookKind,
  HookTaken,
  type NamedProgram,
  type Place,
} from './hook-kind.ts'

/**
 * The hook of kernels before 6.6: filters of the qdisc clsact. The kernel runs them by priority. Among filters of the same
 * priority it runs the newest first. Our filters have the first priority, and one of two handles that no other product
 * uses. With two handles a filter can be attached again in front of other products' filters before the old one behind them
 * is removed.
 */
export const clsact: HookKind = { list, put, detach }

const priority = 1
const handles = [0x5a119047, 0x5a119048] as const

interface Filter extends AttachedProgram {
  readonly priority: number
  readonly handle: number
}

/** TC_H_CLSACT with TC_H_MIN_INGRESS or TC_H_MIN_EGRESS. */
const parents = { ingress: 0xfffffff2, egress: 0xfffffff3 } as const
const attributeType = { kind: 1, options: 2, chain: 11 } as const
const optionType = { id: 11 } as const
const fixedLength = 20

/** In the order in which packets meet them. */
function list({ ifindex, direction }: Place): Filter[] {
  const fixed = Buffer.alloc(fixedLength)
  fixed.writeInt32LE(ifindex, 4)
  fixed.writeUInt32LE(parents[direction], 12)
  using netlink = new Netlink()
  return netlink
    .dump(`list the filters of device ${ifindex}`, messageType.getFilter, fixed)
    .flatMap(({ payload }) => decodeFilter(payload))
}

/**
 * The kernel lists an entry without a handle for each priority before that priority's filters: it is skipped. Filters of
 * other chains than the first run only if another filter jumps to them.
 */
function decodeFilter(payload: Buffer): Filter[] {
  const attributes = decodeAttributes(payload.subarray(fixedLength))
  const handle = payload.readUInt32LE(8)
  if (handle === 0 || attributes.get(attributeType.chain)?.readUInt32LE(0)) return []
  const kind = attributes.get(attributeType.kind)
  const options = attributes.get(attributeType.options)
  const id = options && decodeAttributes(options).get(optionType.id)?.readUInt32LE(0)
  const name = (id === undefined ? undefined : programNameById(id)) ?? (kind ? textOf(kind) : '')
  return [{ name, id, handle, priority: payload.readUInt32LE(16) >>> 16 }]
}

function put(place: Place, program: NamedProgram): void {
  const present = list(place)
  const [known, ...leftOver] = present.filter(({ name }) => name === program.name)
  for (const filter of leftOver) remove(place, filter) /* an agent was killed while it moved the program */
  if (known !== undefined && known === present[0]) return void attach(place, program, known, true)
  ensureQdisc(place, program)
  const rivals = present.filter((filter) => filter.priority === priority && filter.name !== program.name)
  const handle = handles.find((one) => ![known, ...rivals].some((filter) => filter?.handle === one))
  try {
    if (handle === undefined) throw taken(place, program, rivals)
    attach(place, program, { handle, priority }, false)
  } catch (error) {
    /* EINVAL: the kernel wants one kind and one protocol for all filters of a priority. */
    throw rivals.length > 0 && isKernelError(error, 'EINVAL') ? taken(place, program, rivals) : error
  }
  if (known !== undefined) remove(place, known)
}

function attach(
  place: Place,
  program: NamedProgram,
  { handle, priority }: Pick<Filter, 'handle' | 'priority'>,
  replaces: boolean,
): void {
  const options = tcOptions({ handle, priority, programFd: program.fd, replaces })
  const result = libbpf().hookAttach(tcHook(place.ifindex, place.direction), options)
  checkNegative(describePlace('attach', program.name, place), result)
}

/** The qdisc `ingress` accepts egress filters too, and runs them at ingress. */
function ensureQdisc(place: Place, { name }: NamedProgram): void {
  const exists = -17
  const result = libbpf().hookCreate(tcHook(place.ifindex, place.direction))
  const attempted = describePlace('attach', name, place)
  if (result !== exists)
    checkNegative(attempted, result, 'the device has no clsact qdisc, and creating one failed')
  else if (place.direction === 'egress' && !hasClsact(place))
    throw new HookTaken(
      `${attempted}: its qdisc is ingress, which has no egress hook. Replace it with clsact.`,
    )
}

function hasClsact({ ifindex }: Place): boolean {
  using netlink = new Netlink()
  return netlink.dump('list qdiscs', messageType.getQdisc, Buffer.alloc(fixedLength)).some(({ payload }) => {
    const kind = decodeAttributes(payload.subarray(fixedLength)).get(attributeType.kind)
    return payload.readInt32LE(4) === ifindex && kind !== undefined && textOf(kind) === 'clsact'
  })
}

function taken(place: Place, { name }: NamedProgram, rivals: readonly Filter[]): HookTaken {
  const theirs = rivals.map((filter) => filter.name).join(', ')
  return new HookTaken(
    `${describePlace('attach', name, place)}: filters of another program (${theirs}) have priority ${priority}, which ${name} needs. Give them a larger priority number, so that they run after it: tc filter add … prio ${priority + 1} …`,
  )
}

function detach(place: Place, name: string): void {
  for (const filter of list(place)) if (filter.name === name) remove(place, filter)
}

function remove({ ifindex, direction }: Place, { handle, priority }: Filter): void {
  const result = libbpf().hookDetach(tcHook(ifindex, direction), tcOptions({ handle, priority }))
  const gone = [-2, -19, -22] /* no such filter, no such device, no such qdisc */
  if (!gone.includes(result)) checkNegative(`remove a filter from device ${ifindex}`, result)
}
