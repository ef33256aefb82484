import assert from 'node:assert/strict'
import { before, beforeEach, describe, test } from 'node:test'
import type { Address } from '../../src/net/address.ts'
import { dissect } from './dissect.ts'
import { established, secondNs } from './flows.ts'
import { type NodeUnderTest, openNode, reset, send, skip, standardTables } from './node-under-test.ts'
import { address, ipv4 } from './packet.ts'

/* 172.18.0.42 belongs to gateway 172.18.0.4, 172.18.0.44 to 172.18.0.5; each is the other's successor. */
const [ip42, ip44] = ['172.18.0.42', '172.18.0.44'].map(address) as [Address, Address]
const [gateway4, gateway5] = ['172.18.0.4', '172.18.0.5'].map(address) as [Address, Address]

interface Given {
  readonly preferred: readonly Address[]
  readonly standby?: readonly Address[]
  readonly keepsAddress?: boolean
  readonly heard?: readonly Address[]
  readonly silent?: readonly Address[]
  readonly distrusted?: readonly Address[]
  readonly isProbing?: boolean
}

interface Case extends Given {
  readonly name: string
  /** The egress IPs that new flows have, or the verdict that they end with. */
  readonly expect: readonly Address[] | string
}

const both = [ip42, ip44]
const cases: readonly Case[] = [
  {
    name: 'with all gateways heard, flows are spread over them',
    preferred: both, heard: [gateway4, gateway5], expect: both,
  },
  {
    name: 'new flows avoid the address whose gateway is silent',
    preferred: both, heard: [gateway5], silent: [gateway4], expect: [ip44],
  },
  {
    name: 'and one whose gateway came and went too often',
    preferred: both, heard: [gateway4, gateway5], distrusted: [gateway4], expect: [ip44],
  },
  {
    name: 'which is better than none',
    preferred: both, heard: [gateway4, gateway5], distrusted: [gateway4, gateway5], expect: both,
  },
  {
    name: 'and than a silent one',
    preferred: both, heard: [gateway5], distrusted: [gateway5], silent: [gateway4], expect: both,
  },
  {
    name: 'a gateway that is not probed is not judged',
    preferred: both, heard: [gateway5], expect: both,
  },
  {
    name: 'without own probes every gateway counts as alive',
    preferred: both, silent: [gateway4, gateway5], isProbing: false, expect: both,
  },
  {
    name: 'one that stands by is left alone while a preferred one answers',
    preferred: [ip42], standby: [ip44], heard: [gateway4, gateway5], expect: [ip42],
  },
  {
    name: 'one that stands by takes over when none does',
    preferred: [ip42], standby: [ip44], heard: [gateway5], silent: [gateway4], expect: [ip44],
  },
  {
    name: 'where the address is the contract, its successor answers for it',
    preferred: [ip42], standby: [ip44], keepsAddress: true, heard: [gateway5], silent: [gateway4], expect: [ip42],
  },
  {
    name: 'alone in its group, an address leaves by its successor',
    preferred: [ip42], heard: [gateway5], silent: [gateway4], expect: [ip42],
  },
  {
    name: 'with nobody alive nothing leaves',
    preferred: [ip42], standby: [ip44], silent: [gateway4, gateway5], expect: 'DROP_NO_LIVE_GATEWAY',
  },
] // biome-ignore format: a table

async function arrange(node: NodeUnderTest, given: Given): Promise<void> {
  const tables = standardTables(node)
  const blockOwner = tables.egressIps.get(ip42)?.blockOwner ?? []
  await node.datapath.apply({
    ...tables,
    egressIps: new Map([
      [ip42, { order: [gateway4, gateway5], blockOwner }],
      [ip44, { order: [gateway5, gateway4], blockOwner }],
    ]),
    pools: both.map((ip) => ({
      address: ip,
      purpose: 'egress',
      blocks: tables.pools.find((pool) => pool.address === ip42)?.blocks ?? [],
    })),
    groups: new Map([
      [1n, { standby: [], keepsAddress: false, ...given }],
      ...[...tables.groups].filter(([id]) => id !== 1n),
    ]),
  })
  const now = process.hrtime.bigint()
  const { probed_gateways: gateways, liveness } = node.datapath.tables
  if (given.isProbing !== false)
    liveness.set(0, { alive_until_ns: 0n, probing_until_ns: now + 60n * secondNs })
  for (const each of given.silent ?? [])
    gateways.set(each, { answered_ns: now - secondNs, refused_ns: 0n, flapping_until_ns: 0n })
  for (const each of given.heard ?? [])
    gateways.set(each, {
      answered_ns: now + 60n * secondNs,
      refused_ns: 0n,
      flapping_until_ns: given.distrusted?.includes(each) ? now + 60n * secondNs : 0n,
    })
}

describe('which gateway answers now', { skip }, () => {
  let node: NodeUnderTest
  before(() => {
    node = openNode()
  })
  beforeEach(() => reset(node))

  const open = (port: number) =>
    send(node, 'from_pod', node.devices.pod7, ipv4('10.244.1.7', '203.0.113.9').udp(port, 443))

  for (const { name, expect, ...given } of cases)
    test(name, async () => {
      await arrange(node, given)
      const journeys = Array.from({ length: 40 }, (_, index) => open(10_000 + index))
      if (typeof expect === 'string')
        return assert.deepEqual([...new Set(journeys.map(({ verdict }) => verdict))], [expect])
      const sources = journeys
        .filter(({ verdict }) => verdict === 'SENT_TO_HOLDER')
        .map(({ out }) => dissect(out).source)
      assert.deepEqual([...new Set(sources)].toSorted(), expect)
    })

  test('an established flow keeps its address and goes to the successor', async () => {
    await arrange(node, { preferred: [ip42], standby: [ip44], heard: [gateway5], silent: [gateway4] })
    established()(node)
    const packet = ipv4('10.244.1.7', '203.0.113.9').tcp(40000, 443, { flags: ['ACK'] })
    const { verdict, out } = send(node, 'from_pod', node.devices.pod7, packet)
    assert.equal(verdict, 'SENT_TO_HOLDER')
    assert.equal(dissect(out).source, ip42)
  })

  test('an established flow whose address nobody answers for is dropped, and goes on later', async () => {
    const packet = ipv4('10.244.1.7', '203.0.113.9').tcp(40000, 443, { flags: ['ACK'] })
    await arrange(node, { preferred: [ip42], silent: [gateway4, gateway5] })
    established()(node)
    assert.equal(send(node, 'from_pod', node.devices.pod7, packet).verdict, 'DROP_NO_LIVE_GATEWAY')
    await arrange(node, { preferred: [ip42], heard: [gateway4] })
    assert.equal(send(node, 'from_pod', node.devices.pod7, packet).verdict, 'SENT_TO_HOLDER')
  })
})
