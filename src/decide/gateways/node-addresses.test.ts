import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { node } from '../../../test/support/world-builder.ts'
import { withReportedAddresses } from './node-addresses.ts'

const seen = (ips: readonly string[], tunnelAddress?: string) =>
  withReportedAddresses(
    [node('worker', { ips })],
    [{ metadata: { name: 'worker' }, status: tunnelAddress === undefined ? {} : { tunnelAddress } }],
  )[0]

describe('the cluster knows a node', () => {
  const cases = [
    { name: 'by its first InternalIP when its agent has reported none', ips: ['172.18.0.2', 'fc00::2'], expect: ['172.18.0.2', 'fc00::2'] },
    { name: 'by the address that its agent reported, when the Node object lists it later', ips: ['fc00::2', '172.18.0.2'], reported: '172.18.0.2', expect: ['172.18.0.2', 'fc00::2'] },
    { name: 'by the reported address when the Node object lists none', ips: [], reported: '172.18.0.2', expect: ['172.18.0.2'], lacks: true },
    { name: 'by the new InternalIP at once when it replaces the reported one', ips: ['172.18.0.9'], reported: '172.18.0.2', expect: ['172.18.0.9'] },
    { name: 'by nothing when it has neither', ips: [], expect: [] },
    { name: 'by its InternalIP when what was reported is no address', ips: ['172.18.0.2'], reported: 'x', expect: ['172.18.0.2'] },
  ] as const // biome-ignore format: a table
  for (const { name, ips, expect, ...rest } of cases)
    test(name, () => {
      const found = seen(ips, 'reported' in rest ? rest.reported : undefined)
      assert.deepEqual(found?.internalIPs, expect)
      assert.equal(found?.lacksInternalIP ?? false, 'lacks' in rest)
    })
})
