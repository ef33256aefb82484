import { checkNegative } from '../../linux/libc.ts'
import { programs } from '../datapath.ts'
import type { Btf } from '../layout/btf.ts'
import { libbpf, takeLibbpfLog } from '../libbpf.ts'
import type { RawMap } from '../maps/maps.ts'
import {
  findMap,
  findProgram,
  type Knobs,
  leaveOutUnused,
  loadError,
  openObject,
  programFd,
  rawMap,
  setKnobs,
} from '../object.ts'

interface Beside {
  readonly objectFile: string
  readonly btf: Btf
  readonly knobs: Knobs
  /** The one program that is loaded. */
  readonly program: (typeof programs)[number]
  /** The descriptor of a map that exists already. Undefined: the program gets an empty map of its own. */
  readonly presentMap: (name: string) => number | undefined
  /** How many entries an own map has. Undefined: as many as usual. */
  readonly maxEntries: (name: string) => number | undefined
}

export interface LoadedBeside extends Disposable {
  readonly programFd: number
  map(name: string): RawMap
}

/**
 * Loads one of the programs beside those that run, and pins nothing. The verifier reads it on another thread, because that takes
 * a good part of a second.
 */
export async function loadBeside(options: Beside): Promise<LoadedBeside> {
  const { objectFile, btf, knobs, program, presentMap, maxEntries } = options
  const object = openObject(objectFile)
  const close = (): void => void libbpf().close(object)
  try {
    setKnobs(object, btf, knobs)
    leaveOutUnused(object, btf, knobs)
    for (const name of [...programs, 'sweep', 'inject'].filter((each) => each !== program))
      checkNegative(`leave out program ${name}`, libbpf().setAutoload(findProgram(object, name), false))
    for (const name of btf.maps.keys()) {
      const [fd, count] = [presentMap(name), maxEntries(name)]
      if (fd !== undefined) checkNegative(`use map ${name}`, libbpf().reuseFd(findMap(object, name), fd))
      else if (count !== undefined)
        checkNegative(`set the size of map ${name}`, libbpf().setMaxEntries(findMap(object, name), count))
    }
    const result = await libbpf().loadElsewhere(object)
    if (result < 0) throw loadError(objectFile, -result, takeLibbpfLog())
    const fd = programFd(object, program)
    return { programFd: fd, map: (name) => rawMap(object, btf, name), [Symbol.dispose]: close }
  } catch (error) {
    close()
    throw error
  }
}
