import type { Btf } from '../../src/datapath/layout/btf.ts'
import { lookup, put, type RawMap } from '../../src/datapath/maps/maps.ts'
import { type Address, addressBytes, addressFromBytes } from '../../src/net/address.ts'

/** What the simulation tells a program before it runs. */
export interface RunInput {
  readonly nowNs: bigint
  readonly random: bigint
  readonly ifindex: number
  readonly vni: number
  readonly tunnelSource: Address | undefined
}

/** What a program tells about its run. */
export interface RunResult {
  readonly verdict: string
  readonly departure: string
  readonly random: bigint
  readonly sentIfindex: number
  readonly sentVni: number
  readonly sentNode: Address
}

const soleKey = Buffer.alloc(4)

/**
 * The entry of the map `simulated_run`. It is written and read for each packet, a hundred thousand times in a seed, so its bytes are
 * not decoded into an object of all fields.
 */
export class RunRecord {
  readonly #map: RawMap
  readonly #bytes: Buffer
  readonly #at: (field: string) => number
  readonly #verdicts: ReadonlyMap<number, string>
  readonly #departures: ReadonlyMap<number, string>

  constructor(map: RawMap, btf: Btf) {
    const { members } = btf.struct('simulated_run')
    const offsets = new Map(members.map(({ name, offset }) => [name, offset]))
    this.#map = map
    this.#bytes = Buffer.alloc(map.valueSize)
    this.#at = (field) => {
      const offset = offsets.get(field)
      if (offset === undefined) throw new Error(`struct simulated_run has no field ${field}`)
      return offset
    }
    this.#verdicts = byNumber(btf.enumeration('verdict'))
    this.#departures = byNumber(btf.enumeration('departure'))
  }

  write({ nowNs, random, ifindex, vni, tunnelSource }: RunInput): void {
    const bytes = this.#bytes.fill(0)
    bytes.writeBigUInt64LE(nowNs, this.#at('now_ns'))
    bytes.writeBigUInt64LE(random, this.#at('random'))
    bytes.writeUInt32LE(ifindex, this.#at('ifindex'))
    bytes.writeUInt32LE(vni, this.#at('tunnel_vni'))
    if (tunnelSource !== undefined) bytes.set(addressBytes(tunnelSource), this.#at('tunnel_source'))
    put(this.#map, soleKey, bytes)
  }

  read(): RunResult {
    const bytes = lookup(this.#map, soleKey)
    if (bytes === undefined) throw new Error('the simulated run is gone')
    const number = (field: string): number => bytes.readUInt32LE(this.#at(field))
    const at = this.#at('sent_node')
    return {
      verdict: this.#verdicts.get(number('verdict')) ?? String(number('verdict')),
      departure: this.#departures.get(number('departure')) ?? String(number('departure')),
      random: bytes.readBigUInt64LE(this.#at('random')),
      sentIfindex: number('sent_ifindex'),
      sentVni: number('sent_vni'),
      get sentNode() {
        return addressFromBytes(bytes.subarray(at, at + 16))
      },
    }
  }
}

function byNumber(values: ReadonlyMap<string, number>): ReadonlyMap<number, string> {
  return new Map([...values].map(([name, value]) => [value, name]))
}
