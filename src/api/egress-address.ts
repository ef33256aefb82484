import { z } from 'zod'
import type { ObjectMeta } from './metadata.ts'
import { conditionsField } from './policy-fields.ts'

export const egressAddressSpec = z
  .object({
    address: z.string().max(64).describe('The egress IP.'),
    owner: z.string().describe('The name of the node where the egress IP belongs.').optional(),
    leases: z
      .array(
        z.object({
          firstPort: z.int().min(1024).max(65535).describe('The first port of the lease, a multiple of 16.'),
          blocks: z.int().min(1).max(4096).describe('Number of blocks of 16 ports.'),
          slot: z
            .int()
            .min(0)
            .max(16383)
            .describe(
              'The slot of the node that may use these ports. To find the node, run kubectl get egressnodes.',
            ),
          isEnding: z
            .boolean()
            .describe(
              'The node returned these ports. They stay reserved until it confirms having seen this flag.',
            )
            .optional(),
        }),
      )
      .describe('Ports that the operator has leased to nodes, in addition to the floor of each node.')
      .optional(),
    isReleased: z
      .boolean()
      .describe(
        'No node keeps this egress IP for connections any more. Set it with sallyport egress release. The operator removes it when it is done.',
      )
      .optional(),
    isShort: z
      .boolean()
      .describe(
        'Nodes request more ports than are free. All nodes now request only what their connections need.',
      )
      .optional(),
    returns: z
      .array(
        z.object({
          slot: z.int().min(0).max(16383).describe('The slot of the node.'),
          blocks: z.int().min(1).max(4096).describe('Number of blocks of 16 ports.'),
        }),
      )
      .describe(
        'Leased blocks that nodes must return, because other nodes lack them. Open connections keep their ports until they end.',
      )
      .optional(),
  })
  .describe('Which node may use which ports of an egress IP.')

export const egressAddressStatus = z
  .object({
    lingering: z
      .object({
        connections: z.int().min(0).describe('About how many connections still have it.'),
        nodes: z.array(z.string()).describe('Names of the nodes with these connections.'),
      })
      .describe('Present while nodes keep this egress IP although no policy uses it.')
      .optional(),
    conditions: conditionsField,
  })
  .describe('The state of an egress IP: its leases, and the connections that outlive its policy.')

/** `sallyport.dev/v1alpha1`, cluster scope: an egress IP. Its name is the address, with dashes for dots and colons. */
export interface EgressAddress {
  readonly apiVersion?: string
  readonly kind?: string
  readonly metadata: ObjectMeta
  readonly spec: z.infer<typeof egressAddressSpec>
  readonly status?: z.infer<typeof egressAddressStatus>
}

export type PortLease = NonNullable<EgressAddress['spec']['leases']>[number]
