import { z } from 'zod'
import type { ObjectMeta } from './metadata.ts'
import { condition } from './policy-fields.ts'

export const egressNodeSpec = z
  .object({
    slot: z
      .int()
      .min(0)
      .max(16383)
      .describe(
        'The small stable number that says which ports of every egress IP are this node’s. Given once by the operator.',
      )
      .optional(),
  })
  .describe('What the operator has given to the node.')

export const egressNodeStatus = z
  .object({
    interfaces: z
      .array(
        z.object({
          name: z.string().describe('The name of the network interface.'),
          alternativeNames: z.array(z.string()).describe('Other names of it.').optional(),
          addresses: z.array(z.string()).describe('Its addresses, as the kernel lists them.'),
          added: z
            .array(z.string())
            .describe(
              'Addresses that Sallyport has put there for as long as they are needed; not among addresses.',
            )
            .optional(),
          subnets: z
            .array(z.string())
            .describe('The prefixes of its link: the node can answer for any address of theirs.')
            .optional(),
          isDefaultRoute: z.boolean().describe('The default route leads over it.'),
        }),
      )
      .describe('The network interfaces of the node that the world can reach.')
      .optional(),
    heard: z.array(z.string()).describe('Gateways that this node listens for and hears, by name.').optional(),
    unreachable: z
      .array(z.string())
      .describe('Gateways that this node listens for and has not heard lately, by name.')
      .optional(),
    tunnelAddress: z
      .string()
      .describe(
        'The address at which the node’s tunnel ends. Other nodes go on using it while the Node object lists no InternalIP.',
      )
      .optional(),
    conditions: z
      .array(condition.omit({ observedGeneration: true }))
      .describe('Whether the node is connected to the cluster’s other nodes, and why not.')
      .optional(),
    version: z.string().describe('The version of the agent.').optional(),
    demand: z
      .array(
        z.object({
          address: z.string().describe('The egress IP.'),
          blocks: z
            .int()
            .min(0)
            .max(4096)
            .describe('How many blocks of 16 ports the node wants to hold by lease in total.'),
        }),
      )
      .describe('What the node needs of egress IPs beyond its floor.')
      .optional(),
    confirmed: z
      .array(
        z.object({
          address: z.string().describe('The egress IP.'),
          revision: z
            .int()
            .min(0)
            .describe('The generation of its EgressAddress that the node’s tables hold.'),
          uid: z.string().describe('The uid of that EgressAddress.').optional(),
        }),
      )
      .describe('What this node has learned of leases, of the egress IPs that it may answer for.')
      .optional(),
    released: z
      .array(
        z.object({
          address: z.string().describe('The egress IP.'),
          firstPort: z.int().min(0).max(65535).describe('The first port.'),
          blocks: z.int().min(1).max(4096).describe('How many blocks of 16 ports.'),
          revision: z
            .int()
            .min(0)
            .describe('The generation of the EgressAddress by which the node does without them.'),
          uid: z.string().describe('The uid of that EgressAddress.').optional(),
        }),
      )
      .describe('Leased ports that the node does not use any more, and gives back.')
      .optional(),
    refused: z
      .array(
        z.object({
          policy: z.string().describe('Kind and name of the egress policy.'),
          networkPolicies: z
            .array(z.string())
            .describe('The NetworkPolicies that restrict those pods, as namespace/name.'),
          pods: z.int().min(1).describe('How many pods of this node.'),
          example: z.string().describe('One of them, as namespace/name.'),
        }),
      )
      .describe(
        'Egress policies of which the node drops what some of its pods send: a NetworkPolicy could not hold for it.',
      )
      .optional(),
  })
  .describe('What the agent says of its node.')

/** `sallyport.dev/v1alpha1`, cluster scope: a node as Sallyport sees it. Named like the Node. */
export interface EgressNode {
  readonly apiVersion?: string
  readonly kind?: string
  readonly metadata: ObjectMeta
  readonly spec?: z.infer<typeof egressNodeSpec>
  readonly status?: z.infer<typeof egressNodeStatus>
}

export type RefusedPods = NonNullable<NonNullable<EgressNode['status']>['refused']>[number]
export type NodeInterface = NonNullable<NonNullable<EgressNode['status']>['interfaces']>[number]
