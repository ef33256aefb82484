import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { address, allPorts, egressNode } from '../../../test/support/world-builder.ts'
import type { EgressAddress, PortLease } from '../../api/egress-address.ts'
import type { EgressNode } from '../../api/egress-node.ts'
import { usableBlocks } from '../../net/ports.ts'
import { slotsWithLeasedFloor } from './leasable-blocks.ts'
import { type AddressPlan, type LeaseSituation, planLeases } from './lease-grants.ts'
import { leasesByAddress, leasesOfTable, tableOfLeases } from './lease-table.ts'

const ip = '172.18.0.42'

type Status = NonNullable<EgressNode['status']>

function said(name: string, slot: number, status: Partial<Status>): EgressNode {
  const made = egressNode(name, slot, [])
  return { ...made, status: { ...made.status, ...status } }
}

function wanting(name: string, slot: number, blocks: number): EgressNode {
  return said(name, slot, { demand: [{ address: ip, blocks }] })
}

function leased(leases: readonly PortLease[], generation = 1): EgressAddress {
  return { metadata: { name: '172-18-0-42', generation }, spec: { address: ip, leases: [...leases] } }
}

function plan(parts: Partial<LeaseSituation>): readonly AddressPlan[] {
  const { egressNodes = [], egressAddresses = [] } = parts
  const slots = 512
  return planLeases({
    egressNodes,
    egressAddresses,
    present: new Set(egressNodes.map(({ metadata }) => metadata.name)),
    gone: new Set(),
    orphaned: new Set(),
    nodeAddresses: new Set(),
    lingering: new Map(),
    usable: usableBlocks(allPorts),
    given: {
      slots,
      taken: new Set(egressNodes.flatMap(({ spec }) => spec?.slot ?? [])),
      withLeasedFloor: slotsWithLeasedFloor(leasesByAddress(egressAddresses), new Set(), slots),
    },
    ...parts,
  })
}

const leasesOf = (parts: Partial<LeaseSituation>) => plan(parts)[0]?.leases

describe('a demand', () => {
  test('is granted from the top down', () =>
    assert.deepEqual(leasesOf({ egressNodes: [wanting('a', 0, 4)] }), [
      { firstPort: 65536 - 64, blocks: 4, slot: 0 },
    ]))
  test('includes the blocks that the node already leases, and neighbouring ranges are merged', () =>
    assert.deepEqual(
      leasesOf({
        egressNodes: [wanting('a', 0, 8)],
        egressAddresses: [leased([{ firstPort: 65472, blocks: 4, slot: 0 }])],
      }),
      [{ firstPort: 65408, blocks: 8, slot: 0 }],
    ))
  test('that is already met changes nothing', () =>
    assert.equal(
      plan({
        egressNodes: [wanting('a', 0, 4)],
        egressAddresses: [leased([{ firstPort: 29936, blocks: 4, slot: 0 }])],
      })[0]?.isChanged,
      false,
    ))
  test('of a deleted node is granted nothing', () =>
    assert.deepEqual(plan({ egressNodes: [wanting('a', 0, 4)], present: new Set() }), []))
  test('of a node without a slot is granted nothing', () =>
    assert.deepEqual(
      plan({
        egressNodes: [{ metadata: { name: 'a' }, status: { demand: [{ address: ip, blocks: 4 }] } }],
      }),
      [],
    ))
  test('of a node’s own address is granted only from the floors of free slots', () => {
    const [granted] = plan({
      egressNodes: [wanting('a', 0, 4032)],
      nodeAddresses: new Set([address(ip)]),
    })
    assert.equal(granted?.leases[0]?.firstPort, 57344 + 33 * 16)
    assert.equal(granted?.leases[0]?.blocks, 512 - 33)
    assert.equal(granted?.isShort, true)
  })
  test('of five nodes together comes to 95 % of all ports of an address but NodePorts', () => {
    const egressNodes = [0, 1, 2, 3, 4].map((slot) => wanting(`n${slot}`, slot, 806))
    const { leases = [], left } = plan({ egressNodes })[0]!
    const ports = leases.reduce((sum, { blocks }) => sum + blocks * 16, 5 * 64)
    assert.ok(ports >= 0.95 * 61744, `${ports} of 61744 ports`)
    assert.equal(left, 0)
  })
  test('reaches below 32768 only when nothing above is free', () => {
    const above = 2048 - 37 * 4
    const lowest = (blocks: number): number =>
      Math.min(
        ...(
          leasesOf({
            egressNodes: [0, 1, 2, 3, 4].map((slot) => wanting(`n${slot}`, slot, slot === 0 ? blocks : 0)),
          }) ?? []
        ).map(({ firstPort }) => firstPort),
      )
    assert.ok(lowest(above) >= 32768, `${lowest(above)}`)
    assert.equal(lowest(above + 1), 29984, 'the NodePorts are left out')
  })
  test('is never granted a port that is excluded or out of range, however short ports are', () => {
    const ports = { range: { first: 40000, last: 65535 }, excluded: [{ first: 50000, last: 50100 }] }
    const [granted] = plan({ egressNodes: [wanting('a', 0, 4032)], usable: usableBlocks(ports) })
    const blocks = tableOfLeases(granted?.leases ?? []).flatMap((entry, block) => (entry ? [block] : []))
    assert.equal(granted?.isShort, true)
    assert.ok(blocks.every((block) => block >= 2500 && (block < 3125 || block > 3131)))
  })
  test('is met for those who have least first', () => {
    const held = leased([{ firstPort: 16384, blocks: 100, slot: 0 }])
    const { leases = [] } = plan({
      egressNodes: [wanting('a', 0, 4032), wanting('b', 1, 1000)],
      egressAddresses: [held],
    })[0]!
    const ofB = leases.filter(({ slot }) => slot === 1).reduce((sum, { blocks }) => sum + blocks, 0)
    assert.equal(ofB, 1000)
  })
})

describe('a block that a node releases', () => {
  const lease = { firstPort: 2048, blocks: 4, slot: 0 }
  const returned = (revision: number) =>
    said('a', 0, { released: [{ address: ip, firstPort: 2048, blocks: 2, revision }] })
  const ending = { firstPort: 2048, blocks: 2, slot: 0, isEnding: true }
  const rest = { firstPort: 2080, blocks: 2, slot: 0 }
  test('is first marked as ending', () =>
    assert.deepEqual(leasesOf({ egressNodes: [returned(7)], egressAddresses: [leased([lease], 7)] }), [
      ending,
      rest,
    ]))
  test('stays marked until the node has seen the mark', () =>
    assert.deepEqual(leasesOf({ egressNodes: [returned(7)], egressAddresses: [leased([ending, rest], 8)] }), [
      ending,
      rest,
    ]))
  test('is free when the node has seen the mark', () =>
    assert.deepEqual(leasesOf({ egressNodes: [returned(8)], egressAddresses: [leased([ending, rest], 8)] }), [
      rest,
    ]))
  test('is ignored if an earlier object of the same name leased it', () => {
    const known = { address: ip, firstPort: 2048, blocks: 2, revision: 8, uid: 'of the one before' }
    const egressNodes = [said('a', 0, { released: [known] })]
    assert.deepEqual(leasesOf({ egressNodes, egressAddresses: [leased([ending, rest], 8)] }), [ending, rest])
  })
  test('is ignored if another node leases it', () =>
    assert.equal(
      plan({
        egressNodes: [returned(7), egressNode('b', 1, [])],
        egressAddresses: [leased([{ ...lease, slot: 1 }], 7)],
      })[0]?.isChanged,
      false,
    ))
})

test('the leases of a deleted node end', () =>
  assert.deepEqual(
    leasesOf({
      egressNodes: [egressNode('a', 0, []), egressNode('b', 1, [])],
      egressAddresses: [
        leased([
          { firstPort: 2048, blocks: 4, slot: 0 },
          { firstPort: 4096, blocks: 4, slot: 1 },
        ]),
      ],
      present: new Set(['b']),
      gone: new Set(['a']),
    }),
    [{ firstPort: 4096, blocks: 4, slot: 1 }],
  ))

test('the leases of a slot without a node end after a while', () =>
  assert.deepEqual(
    leasesOf({
      egressNodes: [egressNode('a', 1, [])],
      egressAddresses: [leased([{ firstPort: 2048, blocks: 4, slot: 0 }])],
      orphaned: new Set([0]),
    }),
    [],
  ))

test('a table of leases becomes the same list again', () => {
  const leases = [
    { firstPort: 1024, blocks: 3, slot: 5 },
    { firstPort: 1072, blocks: 1, slot: 5, isEnding: true },
    { firstPort: 65520, blocks: 1, slot: 0 },
  ]
  assert.deepEqual(leasesOfTable(tableOfLeases(leases)), leases)
})

describe('an egress IP that only connections have', () => {
  const lingering = new Map([[address(ip), { connections: 3, nodes: ['a'] }]])
  const released: EgressAddress = { ...leased([]), spec: { address: ip, leases: [], isReleased: true } }

  test('gets an object, which shows it, even if it has no leases', () => {
    const [made] = plan({ lingering })
    assert.deepEqual([made?.address, made?.isChanged, made?.lingering?.connections], [ip, true, 3])
    assert.equal(plan({ lingering, egressAddresses: [leased([])] })[0]?.isChanged, false)
  })

  test('stays released for as long as some node keeps it, so that a later policy starts afresh', () => {
    const [kept] = plan({ lingering, egressAddresses: [released] })
    assert.deepEqual([kept?.isReleased, kept?.isChanged], [true, false])
    const [done] = plan({ egressAddresses: [released] })
    assert.deepEqual([done?.isReleased, done?.isChanged], [false, true])
  })
})
