import { z } from 'zod'
import type { ObjectMeta } from './metadata.ts'
import { conditionsField } from './policy-fields.ts'

export const egressAddressSpec = z
  .object({
    address: z.string().max(64).describe('The egress IP.'),
    owner: z.string().describe('The node where the address belongs.').optional(),
    leases: z
      .array(
        z.object({
          firstPort: z.int().min(1024).max(65535).describe('The first port of the lease; a multiple of 16.'),
          blocks: z.int().min(1).max(4096).describe('How many blocks of 16 ports it has.'),
          slot: z
            .int()
            .min(0)
            .max(16383)
            .describe(
              'The slot of the node that may use them. `kubectl get egressnodes` names the node of each slot.',
            ),
          isEnding: z
            .boolean()
            .describe(
              'The node has given them back; they are nobody else’s before it has confirmed to know that.',
            )
            .optional(),
        }),
      )
      .describe('Ports that were granted to nodes beyond their floor.')
      .optional(),
  })
  .describe('Who may use which ports of an egress IP.')

export const egressAddressStatus = z
  .object({ conditions: conditionsField })
  .describe('How the leases of an egress IP are doing.')

/** `sallyport.dev/v1alpha1`, cluster scope: an egress IP. Its name is the address with dots and colons as dashes. */
export interface EgressAddress {
  readonly apiVersion?: string
  readonly kind?: string
  readonly metadata: ObjectMeta
  readonly spec: z.infer<typeof egressAddressSpec>
  readonly status?: z.infer<typeof egressAddressStatus>
}

export type PortLease = NonNullable<EgressAddress['spec']['leases']>[number]
