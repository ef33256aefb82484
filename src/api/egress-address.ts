import { z } from 'zod'
import type { ObjectMeta } from './metadata.ts'

export const egressAddressSpec = z
  .object({
    address: z.string().max(64).describe('The egress IP.'),
    owner: z.string().describe('The node where the address belongs.').optional(),
    leases: z
      .array(
        z.object({
          firstPort: z.int().min(1024).max(65535).describe('The first port of the lease; a multiple of 16.'),
          blocks: z.int().min(1).max(4096).describe('How many blocks of 16 ports it has.'),
          slot: z.int().min(0).max(16383).describe('The slot of the node that may use them.'),
        }),
      )
      .describe('Ports that were granted to nodes beyond their floor.')
      .optional(),
  })
  .describe('Who may use which ports of an egress IP.')

/** `sallyport.dev/v1alpha1`, cluster scope: an egress IP. Its name is the address with dots and colons as dashes. */
export interface EgressAddress {
  readonly apiVersion?: string
  readonly kind?: string
  readonly metadata: ObjectMeta
  readonly spec: z.infer<typeof egressAddressSpec>
}
