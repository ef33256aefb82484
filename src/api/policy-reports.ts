import { z } from 'zod'

const policy = z.string().describe('The kind and name of the egress policy.')

/** Pods whose traffic NetworkPolicies stop. */
const restrictedPods = {
  policy,
  networkPolicies: z
    .array(z.string())
    .describe('The NetworkPolicies that restrict the egress of these pods, as namespace/name.'),
  pods: z.int().min(1).describe('Number of these pods on this node.'),
  example: z.string().describe('One of these pods, as namespace/name.'),
}

/** What the agent of a node reports about policies, as fields of the status of its EgressNode. */
export const policyReports = {
  appliedPolicies: z
    .string()
    .describe(
      'A digest of all egress policies that the node has applied, with their generations. A policy is Ready when all nodes have applied it.',
    )
    .optional(),
  appliedAddresses: z
    .string()
    .describe(
      'A digest of all addresses of egressCIDRs that the node has applied. A policy is Ready when all nodes know its addresses.',
    )
    .optional(),
  selected: z
    .array(
      z.object({
        policy,
        pods: z.int().min(1).describe('Number of pods on this node that the policy selects.'),
        families: z.array(z.enum(['IPv4', 'IPv6'])).describe('The IP families of these pods.'),
      }),
    )
    .describe('Egress policies that select pods on this node.')
    .optional(),
  refused: z
    .array(
      z.object({
        ...restrictedPods,
        problem: z
          .string()
          .describe(
            'What of the NetworkPolicies cannot be evaluated and so allows nothing, and what to do. Absent if all of this traffic is refused, because cni.networkPolicies is refuse.',
          )
          .optional(),
      }),
    )
    .describe(
      'Egress policies whose traffic the node drops for some of its pods, because a NetworkPolicy restricts these pods and cannot be evaluated, or because cni.networkPolicies is refuse.',
    )
    .optional(),
  denied: z
    .array(z.object(restrictedPods))
    .describe(
      'Egress policies whose traffic the node drops for some of its pods, because the NetworkPolicies that restrict these pods allow no destination of the egress policy.',
    )
    .optional(),
  unrouted: z
    .array(
      z.object({
        policy,
        all: z.boolean().describe('Whether the node has a route to none of its destinations.'),
        destinations: z
          .array(z.string())
          .describe('Destinations of the policy to which the node has no route, at most 16.'),
      }),
    )
    .describe(
      'Egress policies of which the node is a gateway, although it has no route to some of their destinations. It drops packets to these.',
    )
    .optional(),
}
