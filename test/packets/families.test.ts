import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, test } from 'node:test'
import type { Desired } from '../../src/datapath/desired.ts'
import { containsMapped, withoutMapped } from '../../src/datapath/tables/trie-prefix.ts'
import { type NodeUnderTest, openNode, prefix, reset, send, skip, standardTables } from './node-under-test.ts'
import { ipv4, ipv6 } from './packet.ts'

/* In the kernel's tries, ::/0 contains the place where IPv4 addresses are mapped. What is said of it holds for IPv6 alone. */
describe('what is said of all IPv6 destinations', { skip }, () => {
  let node: NodeUnderTest
  before(() => {
    node = openNode()
  })
  after(() => node.datapath[Symbol.asyncDispose]())
  beforeEach(() => reset(node))

  const apply = (parts: Partial<Desired>) => node.datapath.apply({ ...standardTables(node), ...parts })
  const syn4 = () =>
    send(
      node,
      'from_pod',
      node.devices.pod7,
      ipv4('10.244.1.7', '203.0.113.9').tcp(40000, 443, { flags: ['SYN'] }),
    )
  const syn6 = (to: string) =>
    send(node, 'from_pod', node.devices.pod7, ipv6('fd00:1::7', to).tcp(40000, 443, { flags: ['SYN'] }))

  for (const destination of ['::/0', '::/3'])
    test(`a policy for ${destination} does not select IPv4 traffic`, async () => {
      const rule = { action: 'egress', group: 4n, policy: 7n } as const
      await apply({ rules: new Map([[1n, new Map([[prefix(destination), rule]])]]) })
      assert.equal(syn4().verdict, 'SENT_TO_WORLD_MASQUERADED')
    })

  test('a policy for both families keeps a rule for each', async () => {
    const [six, four] = [4n, 2n].map((group) => ({ action: 'egress', group, policy: 7n }) as const)
    await apply({
      rules: new Map([
        [
          1n,
          new Map([
            [prefix('::/0'), six!],
            [prefix('0.0.0.0/0'), four!],
          ]),
        ],
      ]),
    })
    assert.equal(syn4().verdict, 'SENT_TO_WORLD')
    assert.equal(syn6('2001:db8:eeee::9').verdict, 'SENT_TO_WORLD')
  })

  test('a prefix that is left to the stack leaves no IPv4 traffic to it', async () => {
    await apply({ cluster: new Map([[prefix('::/0'), { kind: 'stack' }]]) })
    assert.equal(syn4().verdict, 'SENT_TO_HOLDER')
    assert.equal(syn6('2001:db8:eeee::9').verdict, 'PASS_TO_STACK')
    assert.equal(syn6('64:ff9b::1').verdict, 'PASS_TO_STACK')
  })
})

test('a prefix without the mapped addresses has all others', () => {
  const parts = withoutMapped(prefix('::/0'))
  assert.equal(parts.length, 96)
  assert.ok(parts.every((part) => !containsMapped(part)))
  assert.ok(parts.includes(prefix('8000::/1')) && parts.includes(prefix('::/81')))
  assert.deepEqual(withoutMapped(prefix('2001:db8::/32')), ['2001:db8::/32'])
  assert.deepEqual(withoutMapped(prefix('10.0.0.0/8')), ['10.0.0.0/8'])
})
