import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, beforeEach, describe, test } from 'node:test'
import { dissect } from './dissect.ts'
import {
  type NodeUnderTest,
  openAgain,
  openNode,
  reset,
  send,
  skip,
  standardTables,
} from './node-under-test.ts'
import { compileOtherVersion } from './other-version.ts'
import { ipv4 } from './packet.ts'

/* Another version of the datapath comes to a node on which this one runs, and goes again. */

const scratch = mkdtempSync(join(tmpdir(), 'sallyport-layout-'))
after(() => rmSync(scratch, { recursive: true }))

describe('a version that lays out its maps otherwise', { skip }, () => {
  let node: NodeUnderTest
  let otherVersion: string
  before(() => {
    otherVersion = compileOtherVersion(scratch)
    node = openNode()
  })
  beforeEach(() => reset(node))

  const packet = (flags: readonly ('SYN' | 'ACK')[], sourcePort: number): Buffer =>
    ipv4('10.244.1.7', '203.0.113.9').tcp(sourcePort, 443, { flags: [...flags] })
  const portOf = (at: NodeUnderTest, flags: readonly ('SYN' | 'ACK')[], sourcePort: number): number => {
    const { verdict, out } = send(at, 'from_pod', at.devices.pod7, packet(flags, sourcePort))
    assert.equal(verdict, 'SENT_TO_HOLDER')
    return dissect(out).sourcePort ?? 0
  }
  const replyVerdict = (at: NodeUnderTest, port: number): string => {
    const reply = ipv4('203.0.113.9', '172.18.0.42').tcp(443, port, { flags: ['ACK'] })
    return send(at, 'from_overlay', at.devices.world, reply, { vni: 3, node: '172.18.0.4' }).verdict
  }

  test('takes flows along, both ways, and gives them back to the one before', async () => {
    const ports = [40000, 40001, 40002].map((source) => portOf(node, ['SYN'], source))
    const newer = openAgain(node, otherVersion)
    await newer.datapath.apply(standardTables(newer))
    assert.deepEqual(
      [40000, 40001, 40002].map((source) => portOf(newer, ['ACK'], source)),
      ports,
    )
    for (const port of ports) assert.equal(replyVerdict(newer, port), 'SENT_TO_POD')
    const since = portOf(newer, ['SYN'], 40003)

    const older = openAgain(node)
    await older.datapath.apply(standardTables(older))
    assert.deepEqual(
      [40000, 40001, 40002, 40003].map((source) => portOf(older, ['ACK'], source)),
      [...ports, since],
    )
    for (const port of [...ports, since]) assert.equal(replyVerdict(older, port), 'SENT_TO_POD')
    assert.deepEqual(
      readdirSync(join(node.pinDirectory, 'maps'))
        .map((pin) => pin.replace(/-.*/, ''))
        .sort(),
      [...older.datapath.btf.maps.keys()].filter((name) => name !== 'flow_ends').sort(),
      'each map is pinned once; without a NAT log, the one of ended flows does not exist',
    )
    await older.datapath[Symbol.asyncDispose]()
    await newer.datapath[Symbol.asyncDispose]()
    node = openAgain(node)
  })

  test('begins anew what was broken off: what has ended meanwhile is not brought back', async () => {
    portOf(node, ['SYN'], 40010)
    /* It has copied the flow, and is killed; then the flow ends, and another begins. */
    const killed = openAgain(node, otherVersion)
    for (const [key, mapping] of node.datapath.tables.mappings.entries())
      killed.datapath.tables.mappings.set(key, mapping)
    await killed.datapath[Symbol.asyncDispose]()
    await reset(node)
    const port = portOf(node, ['SYN'], 40011)

    const next = openAgain(node, otherVersion)
    await next.datapath.apply(standardTables(next))
    const flows = [...next.datapath.tables.mappings.entries()].map(([{ source_port }]) => source_port)
    assert.deepEqual(flows, [40011])
    assert.equal(portOf(next, ['ACK'], 40011), port)
    await next.datapath[Symbol.asyncDispose]()
  })
})
