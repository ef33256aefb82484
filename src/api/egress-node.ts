import { z } from 'zod'
import type { ObjectMeta } from './metadata.ts'
import { condition } from './policy-fields.ts'
import { policyReports } from './policy-reports.ts'

export const egressNodeSpec = z
  .object({
    slot: z
      .int()
      .min(0)
      .max(16383)
      .describe(
        'A small stable number. It determines which ports of every egress IP this node owns. The operator sets it once.',
      )
      .optional(),
  })
  .describe('What the operator has assigned to the node.')

export const egressNodeStatus = z
  .object({
    interfaces: z
      .array(
        z.object({
          name: z.string().describe('The name of the network interface.'),
          alternativeNames: z.array(z.string()).describe('Alternative names of the interface.').optional(),
          mac: z
            .string()
            .describe(
              'The MAC address of the interface. A host that answers for a pool address with another MAC is not a node of the cluster.',
            )
            .optional(),
          addresses: z
            .array(z.string())
            .describe(
              'The addresses of the interface, in the kernel’s order. Addresses in "added" are not repeated here.',
            ),
          added: z
            .array(z.string())
            .describe(
              'Egress IPs that Sallyport has added to the interface. Sallyport removes them when they are no longer needed.',
            )
            .optional(),
          subnets: z
            .array(z.string())
            .describe('The prefixes of the interface’s link. The node can answer for any address in them.')
            .optional(),
          routers: z
            .array(z.string())
            .describe(
              'The routers of the default routes that use this interface. A pool never gives their addresses to gateways.',
            )
            .optional(),
          receivesByLink: z
            .boolean()
            .describe(
              'The node takes packets of pods of other nodes by this interface without a tunnel: egressGateway.egressPath is auto.',
            )
            .optional(),
          isDefaultRoute: z.boolean().describe('Whether the default route uses this interface.'),
          isIPv6Unrouted: z
            .boolean()
            .describe(
              'The IPv6 default route of the interface has a higher metric than that of another interface. The kernel does not find it for packets that must leave by this interface, so its IPv6 addresses are no egress IPs.',
            )
            .optional(),
          withoutRule: z
            .array(z.string())
            .describe(
              'Addresses of the interface whose packets leave by another interface: egressGateway.gatewayForwarding is stack, the interface has a default route of its own, and the node has no routing rule for the address.',
            )
            .optional(),
          withoutDefaultRoute: z
            .object({
              addresses: z.array(z.string()).describe('The addresses.'),
              destinations: z
                .array(z.string())
                .describe('The only destinations to which their packets leave by this interface.'),
            })
            .describe(
              'Addresses of the interface for which it has no default route, and no routing rule chooses other routes. To other destinations, their packets leave by another interface.',
            )
            .optional(),
          problem: z
            .enum(['Down', 'NoCarrier', 'NoEthernetHeader'])
            .describe('Why no egress traffic can use the interface now.')
            .optional(),
        }),
      )
      .describe('The network interfaces by which the node is connected to networks outside the cluster.')
      .optional(),
    heard: z
      .array(z.string())
      .describe('Names of the gateways that this node reaches: they answer its probes.')
      .optional(),
    unreachable: z
      .array(z.string())
      .describe('Names of the gateways that this node does not reach: they do not answer its probes.')
      .optional(),
    byLink: z
      .array(z.string())
      .describe(
        'Names of the gateways to which this node sends packets without a tunnel. To all other gateways it sends them through the tunnel.',
      )
      .optional(),
    sharesAddress: z
      .boolean()
      .describe(
        'Chained mode: whether egress policies can use the node’s own address. The node’s stack uses it too, and the agent keeps their ports apart.',
      )
      .optional(),
    conflicts: z
      .array(
        z.object({
          address: z.string().describe('The egress IP.'),
          mac: z.string().describe('The MAC address of the host that answers for it.'),
          interface: z.string().describe('The interface of this node on whose link the host is.'),
        }),
      )
      .describe(
        'Egress IPs for which a host outside the cluster answers on a link of this node. The node does not use them.',
      )
      .optional(),
    lingering: z
      .array(
        z.object({
          address: z.string().describe('The egress IP.'),
          connections: z
            .int()
            .min(0)
            .describe('Number of connections of pods on this node that have it, rounded to two digits.'),
        }),
      )
      .describe('Egress IPs that no policy uses any more and that this node keeps for connections.')
      .optional(),
    tunnelAddress: z
      .string()
      .describe(
        'The address of the node’s tunnel endpoint. Other nodes use it if the Node object has no InternalIP.',
      )
      .optional(),
    conditions: z
      .array(condition.omit({ observedGeneration: true }))
      .describe(
        'The current state of the node. Connected: whether the other nodes of the cluster can reach it. The message says what to do.',
      )
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
            .describe('Total number of leased blocks of 16 ports that the node requests.'),
        }),
      )
      .describe('The port blocks that the node requests from the operator, for each egress IP.')
      .optional(),
    confirmed: z
      .array(
        z.object({
          address: z.string().describe('The egress IP.'),
          revision: z
            .int()
            .min(0)
            .describe('The metadata.generation of the EgressAddress that the node has applied.'),
          uid: z.string().describe('The uid of that EgressAddress.').optional(),
        }),
      )
      .describe('The leases that this node has applied, for each egress IP that it may answer for.')
      .optional(),
    released: z
      .array(
        z.object({
          address: z.string().describe('The egress IP.'),
          firstPort: z.int().min(0).max(65535).describe('The first port of the lease.'),
          blocks: z.int().min(1).max(4096).describe('Number of blocks of 16 ports.'),
          revision: z
            .int()
            .min(0)
            .describe(
              'The metadata.generation of the EgressAddress that the node had applied when it released the lease.',
            ),
          uid: z.string().describe('The uid of that EgressAddress.').optional(),
        }),
      )
      .describe('Leases that the node no longer uses and returns to the operator.')
      .optional(),
    ...policyReports,
    bypassedIPsec: z
      .array(z.string())
      .describe(
        'Destinations of outbound IPsec policies of the node. Egress traffic to them leaves the node in clear text, because gatewayForwarding is fast.',
      )
      .optional(),
    heaviest: z
      .array(
        z.object({
          address: z.string().describe('The egress IP.'),
          pod: z.string().describe('The pod, as namespace/name.'),
          connections: z.int().min(0).describe('Number of its connections, rounded to two digits.'),
        }),
      )
      .describe(
        'The pod of this node with most connections, for each egress IP of which nodes request more ports than are free.',
      )
      .optional(),
  })
  .describe('What the agent reports about its node.')

/** `sallyport.dev/v1alpha1`, cluster scope. It has the name of its Node. */
export interface EgressNode {
  readonly apiVersion?: string
  readonly kind?: string
  readonly metadata: ObjectMeta
  readonly spec?: z.infer<typeof egressNodeSpec>
  readonly status?: z.infer<typeof egressNodeStatus>
}

type Status = NonNullable<EgressNode['status']>

/** What only the operator and users read. These fields change often, and every agent watches all EgressNodes. */
const operatorReports = [
  'demand',
  'appliedPolicies',
  'appliedAddresses',
  'selected',
  'refused',
  'denied',
  'unrouted',
  'heaviest',
  'lingering',
] as const satisfies readonly (keyof Status)[]

export function withoutOperatorReports(status: Status): Omit<Status, (typeof operatorReports)[number]> {
  const rest = { ...status }
  for (const name of operatorReports) delete rest[name]
  return rest
}

export type RefusedPods = NonNullable<NonNullable<EgressNode['status']>['refused']>[number]
export type DeniedPods = NonNullable<NonNullable<EgressNode['status']>['denied']>[number]
export type UnroutedPolicy = NonNullable<NonNullable<EgressNode['status']>['unrouted']>[number]
export type SelectedPods = NonNullable<NonNullable<EgressNode['status']>['selected']>[number]
export type AddressConflict = NonNullable<NonNullable<EgressNode['status']>['conflicts']>[number]
/** The interface that only holds addresses, in every network namespace. */
export const loopback = 'lo'
export type NodeInterface = NonNullable<NonNullable<EgressNode['status']>['interfaces']>[number]
