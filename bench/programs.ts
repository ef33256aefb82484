import { join } from 'node:path'
import type { Program } from '../src/datapath/datapath.ts'
import { readBtf } from '../src/datapath/layout/btf.ts'
import { put } from '../src/datapath/maps/maps.ts'
import { loadObject } from '../src/datapath/object.ts'
import { testRun } from '../src/datapath/test-run.ts'
import { established } from '../test/packets/flows.ts'
import { openNode, ourPorts, reset, slot2Port } from '../test/packets/node-under-test.ts'
import { ipv4 } from '../test/packets/packet.ts'
import { againObject, median } from './tools.ts'

/**
 * The nanoseconds that each program takes for a packet of an established TCP flow. They come from repeated test runs in the
 * kernel, minus those of an empty program. It runs in a process of its own, because it enters namespaces.
 */
export interface ProgramFigures {
  readonly outward: readonly (readonly [step: string, ns: number])[]
  readonly reply: readonly (readonly [step: string, ns: number])[]
}

const repeats = 1_000_000
const runs = 7
/** TC_ACT_REDIRECT, the result for each of these packets. */
const redirect = 7

/** The first fields of `struct fresh` in again.bpf.c. */
interface TunnelEnd {
  readonly vni: number
  readonly node: number
}

interface Arrival {
  readonly ifindex: number
  readonly tunnel?: TunnelEnd
}

const noTunnel: TunnelEnd = { vni: 0, node: 0 }
const fromOther = (vni: number): TunnelEnd => ({ vni, node: Buffer.from([172, 18, 0, 4]).readUInt32BE() })

const words = (...values: readonly number[]): Buffer => Buffer.from(Uint32Array.from(values).buffer)

async function measure(): Promise<ProgramFigures> {
  const node = openNode({ simulated_tunnel: 0 })
  await reset(node)
  established()(node)
  established({ egressIp: '172.18.0.43', egressPort: slot2Port, sourcePort: 40001 })(node)
  const { pod7, world } = node.devices
  using again = loadObject({
    objectFile: againObject,
    btf: readBtf(againObject),
    pinDirectory: join(node.pinDirectory, 'bench'),
    knobs: {},
  })
  const time = (programFd: number, packet: Buffer, from: Arrival, action: number): number => {
    const { vni, node } = from.tunnel ?? noTunnel
    const fresh = Buffer.alloc(again.map('fresh').valueSize)
    words(vni, node).copy(fresh)
    packet.copy(fresh, 8, 0, 54)
    put(again.map('fresh'), words(0), fresh)
    put(again.map('target'), words(0), words(programFd))
    return median(
      Array.from({ length: runs }, () => {
        const result = testRun(
          again.programFd('again'),
          Buffer.from(packet),
          { ifindex: from.ifindex },
          repeats,
        )
        if (result.action !== action) throw new Error(`a test run came to ${result.action}, not ${action}`)
        return result.durationNs
      }),
    )
  }
  const run = (program: Program, packet: Buffer, from: Arrival): number => {
    const nothing = time(again.programFd('empty'), packet, from, 0)
    return Math.max(0, time(node.datapath.programFd(program), packet, from, redirect) - nothing)
  }
  const data = { flags: ['ACK', 'PSH'] as const, payload: 'x'.repeat(64) }
  return {
    outward: [
      [
        'from_pod, source node',
        run('from_pod', ipv4('10.244.1.7', '203.0.113.9').tcp(40000, 443, data), { ifindex: pod7 }),
      ],
      [
        'from_overlay, gateway',
        run('from_overlay', ipv4('172.18.0.43', '203.0.113.9').tcp(slot2Port, 443, data), {
          ifindex: world,
          tunnel: fromOther(2),
        }),
      ],
    ],
    reply: [
      [
        'from_world, gateway',
        run('from_world', ipv4('203.0.113.9', '172.18.0.43').tcp(443, slot2Port, data), { ifindex: world }),
      ],
      [
        'from_overlay, source node',
        run('from_overlay', ipv4('203.0.113.9', '172.18.0.42').tcp(443, ourPorts.first, data), {
          ifindex: world,
          tunnel: fromOther(3),
        }),
      ],
    ],
  }
}

if (process.argv[2] === '--measure') {
  process.stdout.write(`${JSON.stringify(await measure())}\n`)
  process.exit()
}
