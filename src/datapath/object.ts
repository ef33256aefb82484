import { join } from 'node:path'
import koffi from 'koffi'
import { checkNegative, KernelError } from '../linux/libc.ts'
import type { Btf } from './layout/btf.ts'
import { type Handle, libbpf, takeLibbpfLog } from './libbpf.ts'
import type { RawMap } from './maps/maps.ts'
import { Pins } from './maps/pins.ts'

/** Values of the `const volatile` knobs in bpf/config.h, by name. */
export type Knobs = Readonly<Record<string, number | bigint>>

/** Programs and maps in the kernel, not attached to anything yet. */
export interface LoadedObject extends Disposable {
  readonly knobs: Knobs
  programFd(name: string): number
  map(name: string): RawMap
  /** Sets a variable that the programs of this load read while they run. */
  setVariable(name: string, value: Buffer): void
  /** Pins of earlier maps with the same name and another layout. */
  readonly earlierPins: ReadonlyMap<string, string>
  /** Unpins the maps with other layouts. Call it when no running program uses them any more. */
  unpinEarlier(): void
}

interface LoadOptions {
  readonly objectFile: string
  readonly btf: Btf
  readonly pinDirectory: string
  readonly knobs: Knobs
}

/**
 * Loads programs and maps, and changes nothing that runs. Attaching is a later step, so a failure here leaves the old
 * programs in place. Maps that an earlier load pinned with the same layout are used again with their entries.
 */
export function loadObject(options: LoadOptions): LoadedObject {
  const { objectFile, btf, pinDirectory, knobs } = options
  const object = openObject(objectFile)
  const pins = new Pins(join(pinDirectory, 'maps'), btf)
  const earlierPins = pins.earlier()
  try {
    setKnobs(object, btf, knobs)
    leaveOutUnused(object, btf, knobs)
    for (const name of btf.maps.keys()) {
      /* An upgrade was interrupted. The programs of this layout have never run, or the earlier pins would be gone. */
      if (earlierPins.has(name)) pins.remove(name)
      checkNegative(`set the pin of map ${name}`, libbpf().setPinPath(findMap(object, name), pins.path(name)))
    }
    const result = libbpf().load(object)
    if (result < 0) throw loadError(objectFile, -result, takeLibbpfLog())
  } catch (error) {
    libbpf().close(object)
    throw error
  }
  return {
    knobs,
    earlierPins,
    unpinEarlier: () => pins.removeOthers(),
    programFd: (name) => programFd(object, name),
    map: (name) => rawMap(object, btf, name),
    setVariable: (name, value) => setVariable(object, btf, name, value),
    [Symbol.dispose]: () => libbpf().close(object),
  }
}

/** What only some installs need: its memory is not taken in the others, where no program can reach it. */
export function leaveOutUnused(object: Handle, { maps }: Pick<Btf, 'maps'>, { flow_log }: Knobs): void {
  if (!flow_log && maps.has('flow_ends'))
    checkNegative('leave out map flow_ends', libbpf().setAutocreate(findMap(object, 'flow_ends'), false))
}

export function openObject(objectFile: string): Handle {
  takeLibbpfLog()
  const object = libbpf().open(objectFile, null)
  if (object === null)
    throw new KernelError(`open the object file ${objectFile}`, koffi.errno(), takeLibbpfLog())
  return object
}

export function loadError(objectFile: string, errno: number, log: string): Error {
  const failure = new KernelError(`load ${objectFile}`, errno, log)
  if (failure.code !== 'EPERM') return failure
  return new Error(
    'the kernel refused to load the programs: run as root, or grant CAP_BPF and CAP_NET_ADMIN and raise the memory lock limit (ulimit -l unlimited)',
    { cause: failure },
  )
}

export function findMap(object: Handle, name: string): Handle {
  const map = libbpf().map(object, name)
  if (map === null) throw new Error(`the object file has no map ${name}`)
  return map
}

export function rawMap(object: Handle, btf: Btf, name: string): RawMap {
  const layout = btf.maps.get(name)
  if (layout === undefined) throw new Error(`the object file has no map ${name}`)
  return {
    name,
    fd: libbpf().mapFd(findMap(object, name)),
    keySize: layout.key?.size ?? 0,
    valueSize: layout.value?.size ?? 0,
    maxEntries: layout.maxEntries,
  }
}

export function findProgram(object: Handle, name: string): Handle {
  const program = libbpf().program(object, name)
  if (program === null) throw new Error(`the object file has no program ${name}`)
  return program
}

export function programFd(object: Handle, name: string): number {
  return checkNegative(`find program ${name}`, libbpf().programFd(findProgram(object, name)))
}

export function setKnobs(object: Handle, btf: Btf, knobs: Knobs): void {
  const variables = btf.variables('.rodata')
  if (Object.keys(knobs).length === 0) return
  const size = [0]
  const start = libbpf().initialValue(findMap(object, '.rodata'), size)
  const view = new DataView(koffi.view(start, Number(size[0])))
  for (const [name, value] of Object.entries(knobs)) {
    const variable = variables.get(name)
    if (variable === undefined)
      throw new Error(`the object file has no knob ${name}. It has ${[...variables.keys()].join(', ')}.`)
    if (variable.type.size === 8) view.setBigUint64(variable.offset, BigInt(value), true)
    else if (variable.type.size === 4) view.setUint32(variable.offset, Number(value), true)
    else throw new Error(`knob ${name} has ${variable.type.size} bytes, expected 4 or 8`)
  }
}

/** The kernel keeps the variables of a section in one entry. All others of this section stay zero: they only name types. */
function setVariable(object: Handle, btf: Btf, name: string, value: Buffer): void {
  const variable = btf.variables('.bss').get(name)
  if (variable?.type.size !== value.length)
    throw new Error(`the object file has no variable ${name} of that size`)
  const map = findMap(object, '.bss')
  const size = [0]
  libbpf().initialValue(map, size)
  const section = Buffer.alloc(Number(size[0]))
  value.copy(section, variable.offset)
  checkNegative(`set ${name}`, libbpf().update(libbpf().mapFd(map), Buffer.alloc(4), section, 0))
}
