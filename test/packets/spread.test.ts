import assert from 'node:assert/strict'
import { before, beforeEach, describe, test } from 'node:test'
import { resolve } from '../../src/decide/resolve.ts'
import type { Address } from '../../src/net/address.ts'
import { device, egressNode, isovalentPolicy, node as nodeOf, world } from '../support/world-builder.ts'
import { dissect } from './dissect.ts'
import { type NodeUnderTest, openNode, reset, send, skip, standardTables } from './node-under-test.ts'
import { address, ipv4 } from './packet.ts'

const flows = 1_500

const egressIps = (count: number): readonly Address[] =>
  Array.from({ length: count }, (_, index) => address(`172.18.1.${index + 1}`))
const gatewayOf = (ip: Address): Address => address(ip.replace('172.18.1.', '172.18.2.'))

/** A policy with two groups, of one gateway and of three: the egress IPs that a new flow chooses from. */
function unevenGroups(): readonly Address[] {
  const names = ['a', 'b', 'c', 'd']
  const found = resolve(
    world({
      nodes: [
        ...world().nodes,
        ...names.map((name, index) =>
          nodeOf(name, { ips: [`172.18.2.${index + 1}`], labels: { group: name === 'a' ? 'one' : 'three' } }),
        ),
      ],
      egressNodes: names.map((name, index) =>
        egressNode(name, index, [device('net0', [`172.18.1.${index + 1}`])]),
      ),
      isovalentPolicies: [
        isovalentPolicy('p', {
          egressGroups: ['one', 'three'].map((group) => ({
            nodeSelector: { matchLabels: { group } },
            interface: 'net0',
          })),
        }),
      ],
    }),
  )
  return [...found.groups.values()][0]?.preferred ?? []
}

/**
 * Pearson's chi-squared. For even choices its mean is the degrees of freedom and its variance twice that; ten deviations and
 * 20 more are hit less than once in a thousand million runs, and missed by far where one choice is twice as likely.
 */
function assertEven(counts: ReadonlyMap<Address, number>, choices: readonly Address[]): void {
  const total = [...counts.values()].reduce((sum, each) => sum + each, 0)
  const expected = total / choices.length
  const chiSquared = choices.reduce(
    (sum, each) => sum + ((counts.get(each) ?? 0) - expected) ** 2 / expected,
    0,
  )
  const freedom = choices.length - 1
  assert.ok(
    chiSquared < freedom + 10 * Math.sqrt(2 * freedom) + 20,
    `${chiSquared}: ${JSON.stringify(Object.fromEntries(counts))}`,
  )
}

describe('new flows are spread evenly', { skip }, () => {
  let node: NodeUnderTest
  before(() => {
    node = openNode()
  })
  beforeEach(() => reset(node))

  async function choicesOf(preferred: readonly Address[]): Promise<ReadonlyMap<Address, number>> {
    const tables = standardTables(node)
    const blockOwner = tables.egressIps.get(address('172.18.0.42'))?.blockOwner ?? []
    await node.datapath.apply({
      ...tables,
      egressIps: new Map(preferred.map((ip) => [ip, { order: [gatewayOf(ip)], blockOwner }])),
      pools: preferred.map((ip) => ({
        address: ip,
        purpose: 'egress',
        blocks: tables.pools[0]?.blocks ?? [],
      })),
      groups: new Map([
        [1n, { preferred, standby: [], keepsAddress: false }],
        ...[...tables.groups].filter(([id]) => id !== 1n),
      ]),
    })
    const counts = new Map<Address, number>()
    for (let index = 0; index < flows; index++) {
      const packet = ipv4('10.244.1.7', '203.0.113.9').udp(1_024 + index, 1_024 + index)
      const { verdict, out } = send(node, 'from_pod', node.devices.pod7, packet)
      assert.equal(verdict, 'SENT_TO_HOLDER')
      const source = dissect(out).source as Address
      counts.set(source, (counts.get(source) ?? 0) + 1)
    }
    return counts
  }

  for (const count of [3, 7, 100])
    test(`over ${count} egress IPs`, async () => {
      const all = egressIps(count)
      assertEven(await choicesOf(all), all)
    })

  test('over those of groups of different sizes', async () => {
    const all = unevenGroups()
    assert.equal(all.length, 4)
    assertEven(await choicesOf(all), all)
  })
})
