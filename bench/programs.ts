import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readBtf } from '../src/datapath/btf.ts'
import type { Program } from '../src/datapath/datapath.ts'
import { loadObject } from '../src/datapath/object.ts'
import { type TestContext, testRun } from '../src/datapath/test-run.ts'
import { established } from '../test/packets/flows.ts'
import { openNode, ourPorts, reset, slot2Port } from '../test/packets/node-under-test.ts'
import { ipv4 } from '../test/packets/packet.ts'
import { emptyObject, median } from './tools.ts'

/**
 * Nanoseconds that each program takes for a packet of an established TCP flow, by test run, an empty program's taken off.
 * A packet is changed by its journey, so each run is on a fresh one. Runs in a process of its own: it enters namespaces.
 */
export interface ProgramFigures {
  readonly outward: readonly (readonly [step: string, ns: number])[]
  readonly reply: readonly (readonly [step: string, ns: number])[]
}

const warmUp = 2_000
const runs = 20_000

const overlay = (vni: number, node: string): number[] => {
  const bytes = node.split('.').map(Number)
  return [vni, Buffer.from(bytes).readUInt32LE(0), 0, 0, 0]
}

async function measure(): Promise<ProgramFigures> {
  const node = openNode()
  await reset(node)
  established()(node)
  established({ egressIp: '172.18.0.43', egressPort: slot2Port, sourcePort: 40001 })(node)
  const { pod7, world } = node.devices
  const data = { flags: ['ACK', 'PSH'] as const, payload: 'x'.repeat(64) }
  const run = (program: Program, packet: Buffer, context: TestContext): number =>
    time(() => node.datapath.testRun(program, Buffer.from(packet), context).durationNs)
  using empty = loadObject({
    objectFile: emptyObject,
    btf: readBtf(emptyObject),
    pinDirectory: mkdtempSync(join(tmpdir(), 'sallyport-bench-')),
    knobs: {},
  })
  const fd = empty.programFd('empty')
  const packet = ipv4('10.244.1.7', '203.0.113.9').tcp(40000, 443, data)
  const nothing = time(() => testRun(fd, Buffer.from(packet), { ifindex: pod7 }).durationNs)
  const off = (ns: number): number => Math.max(0, ns - nothing)
  return {
    outward: [
      ['from_pod, source node', off(run('from_pod', packet, { ifindex: pod7 }))],
      [
        'from_overlay, gateway',
        off(
          run('from_overlay', ipv4('172.18.0.43', '203.0.113.9').tcp(slot2Port, 443, data), {
            ifindex: world,
            cb: overlay(2, '172.18.0.4'),
          }),
        ),
      ],
    ],
    reply: [
      [
        'from_world, gateway',
        off(
          run('from_world', ipv4('203.0.113.9', '172.18.0.43').tcp(443, slot2Port, data), { ifindex: world }),
        ),
      ],
      [
        'from_overlay, source node',
        off(
          run('from_overlay', ipv4('203.0.113.9', '172.18.0.42').tcp(443, ourPorts.first, data), {
            ifindex: world,
            cb: overlay(3, '172.18.0.4'),
          }),
        ),
      ],
    ],
  }
}

function time(once: () => number): number {
  for (let index = 0; index < warmUp; index++) once()
  return median(Array.from({ length: runs }, once))
}

if (process.argv[2] === '--measure') {
  process.stdout.write(`${JSON.stringify(await measure())}\n`)
  process.exit()
}
