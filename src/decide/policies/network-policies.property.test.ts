import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  type NaiveEgress,
  type NaivePacket,
  naiveAllows,
} from '../../../test/support/naive-network-policies.ts'
import { packet, policies } from '../../../test/support/random-network-policies.ts'
import { address, pod, world } from '../../../test/support/world-builder.ts'
import { flowVerdict } from '../flow-verdicts.ts'
import { resolve } from '../resolve.ts'
import type { Tables } from '../tables.ts'
import { readEgressRestriction } from './network-policies.ts'

const protocols = { TCP: 6, UDP: 17, SCTP: 132, ICMP: 1 } as const

/** Stand-alone, of a pod that no egress policy selects. */
function resolveRules(egresses: readonly (readonly NaiveEgress[])[]): Tables {
  const networkPolicies = egresses.flatMap(
    (egress, index) =>
      readEgressRestriction(
        { namespace: 'default', name: `n${index}` },
        { podSelector: {}, policyTypes: ['Egress'], egress },
      ) ?? [],
  )
  return resolve({ ...world(), pods: [pod('xwing', { ips: ['10.244.1.7'] })], networkPolicies })
}

function isAllowed(tables: Tables, { destination, protocol, port }: NaivePacket): boolean {
  const { action } = flowVerdict(tables, address('10.244.1.7'), address(destination), {
    protocol: protocols[protocol],
    port: protocol === 'ICMP' ? 0 : port,
  })
  return action === 'masquerade'
}

test('the longest prefix of the table allows what any egress rule allows, and nothing else', () => {
  fc.assert(
    fc.property(policies, fc.array(packet, { minLength: 1, maxLength: 20 }), (egresses, packets) => {
      const tables = resolveRules(egresses)
      for (const sent of packets)
        assert.equal(isAllowed(tables, sent), naiveAllows(egresses, sent), JSON.stringify(sent))
    }),
    { numRuns: 300 },
  )
})
