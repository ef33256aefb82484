import { native } from '../../linux/libc.ts'
import { getPinned, mapTypes } from '../bpf-syscall.ts'
import { type Btf, readTypes } from '../layout/btf.ts'
import { convertLayout } from '../layout/layout-change.ts'
import type { LoadedObject } from '../object.ts'
import { keyString, lookup, putNew, type RawEntries, type RawMap, readAll, remove } from './maps.ts'
import { takeTurn } from './turn.ts'

/**
 * Maps with the state of flows. The agent writes the other maps anew before any program reads them, or their content (recent
 * answers, halves of fragmented packets, counters) is not worth keeping.
 */
const carried = [
  'mappings',
  'ports',
  'inbound',
  'service_flows',
  'service_replies',
  'client_flows',
  'client_replies',
  'process_calls',
] as const

/** A map of an earlier load, and how its bytes become those of this load's map. */
interface EarlierMap {
  readonly from: RawMap
  readonly key: (bytes: Buffer) => Buffer
  readonly value: (bytes: Buffer) => Buffer
}

interface Journey extends EarlierMap {
  readonly to: RawMap
  /** What was written, by the old key. */
  readonly put: RawEntries
}

/**
 * Copies flows into maps with a new layout. Call `copy` before the programs are replaced, while the earlier ones still write
 * to the earlier maps. Call `finish` afterwards, for what they wrote meanwhile.
 */
export class CarryOver implements Disposable {
  readonly #journeys: readonly Journey[]

  constructor(object: LoadedObject, btf: Btf) {
    this.#journeys = carried.flatMap((name) => {
      const pin = object.earlierPins.get(name)
      return pin === undefined
        ? []
        : [{ ...openEarlier(name, pin, btf), to: object.map(name), put: new Map() }]
    })
  }

  async copy(): Promise<void> {
    for (const journey of this.#journeys)
      for (const chunk of readAll(journey.from)) {
        for (const [key, value] of chunk) putAnew(journey, key, value)
        await takeTurn()
      }
  }

  /**
   * Copies entries that were added since `copy`, and removes entries that were deleted since, because their ports may belong
   * to other flows by now. Flows that began since stay as they are.
   */
  async finish(): Promise<void> {
    for (const journey of this.#journeys) {
      const gone = new Set(journey.put.keys())
      for (const chunk of readAll(journey.from)) {
        for (const [key, value] of chunk) if (!gone.delete(keyString(key))) putAnew(journey, key, value)
        await takeTurn()
      }
      for (const text of gone) takeBack(journey, text)
    }
  }

  [Symbol.dispose](): void {
    for (const { from } of this.#journeys) native.close(from.fd)
  }
}

/** The entries of an earlier load's map, as this load lays them out. */
export function readEarlier(name: string, pin: string, btf: Btf): (readonly [key: Buffer, value: Buffer])[] {
  const { from, key: convertKey, value: convertValue } = openEarlier(name, pin, btf)
  try {
    return [...readAll(from)].flat().map(([key, value]) => [convertKey(key), convertValue(value)] as const)
  } finally {
    native.close(from.fd)
  }
}

function openEarlier(name: string, pin: string, btf: Btf): EarlierMap {
  const fd = getPinned(pin)
  const types = mapTypes(fd)
  const earlier = readTypes(types.btf)
  const layout = btf.maps.get(name)
  if (layout?.key === undefined || layout.value === undefined)
    throw new Error(`map ${name} has no keys and values`)
  return {
    from: { name, fd, keySize: types.keySize, valueSize: types.valueSize, maxEntries: types.maxEntries },
    key: convertLayout(earlier(types.key), layout.key),
    value: convertLayout(earlier(types.value), layout.value),
  }
}

/** If the new map is full, the flow loses its entry. Its next packet is translated like the first packet of a new flow. */
function putAnew(
  { to, key: convertKey, value: convertValue, put }: Journey,
  key: Buffer,
  value: Buffer,
): void {
  const converted = convertValue(value)
  try {
    if (putNew(to, convertKey(key), converted)) put.set(keyString(key), converted)
  } catch (error) {
    if (!(error instanceof Error && / is full /.test(error.message))) throw error
  }
}

/** Removes the entry, unless a packet has used it since. */
function takeBack({ to, key: convertKey, put }: Journey, text: string): void {
  const key = convertKey(Buffer.from(text, 'latin1'))
  const converted = put.get(text)
  const present = lookup(to, key)
  if (converted !== undefined && present?.equals(converted)) remove(to, key)
}
