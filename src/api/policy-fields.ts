import { z } from 'zod'
import { addressPattern, prefixPattern } from './address-pattern.ts'
import { labelSelectorSchema } from './label-selector.ts'

/*
 * The fields that both policy kinds have. Every list and string has a maximum length, because an API server refuses
 * validation rules whose cost it cannot estimate (Kubernetes, "Resource use by validation functions").
 */

/** The longest CIDR is IPv6 with an IPv4 part: 45 characters, a slash and three digits. */
const cidrText = z.string().max(49)
/**
 * An API server refuses a rule whose estimated cost exceeds 10,000,000. Its estimate for a pattern matched on every item:
 *
 *   a tenth of the text, 49 characters of 4 bytes        20
 *   times a quarter of the pattern, 693 characters      174
 *   times 1,024 items                             3,563,520
 */
const maxCidrs = 1024
export const maxEntries = 256

export const selectorsField = z
  .array(
    z.object({
      podSelector: labelSelectorSchema
        .describe(
          'Selects pods by label. The key io.kubernetes.pod.namespace matches the name of the pod’s namespace, io.cilium.k8s.namespace.labels.KEY a label of that namespace, and io.cilium.k8s.policy.serviceaccount the pod’s service account.',
        )
        .optional(),
      namespaceSelector: labelSelectorSchema
        .describe('Selects namespaces by label. An empty selector selects every namespace.')
        .optional(),
      nodeSelector: labelSelectorSchema
        .describe(
          'Selects, by label, the nodes that run the pods. Set podSelector or namespaceSelector as well.',
        )
        .optional(),
    }),
  )
  .max(maxEntries)
  .describe(
    'The pods that the policy applies to. A pod is selected if all selectors of at least one entry match it. An empty list selects no pod.',
  )

export const destinationCidrsField = z
  .array(cidrText)
  .max(maxCidrs)
  .describe('The destinations that the policy applies to, as IPv4 or IPv6 CIDRs.')

export const excludedCidrsField = z
  .array(cidrText)
  .max(maxCidrs)
  .describe(
    'Destinations inside destinationCIDRs that the policy does not apply to. Traffic to them leaves with the address of the pod’s node.',
  )
  .optional()

export const egressCidrsField = z
  .array(cidrText)
  .max(maxCidrs)
  .describe(
    'A pool of egress IPs. Each active gateway gets one address of each IP family in the pool. It configures the address on the interface of its group, or else on the interface of its default route. Do not set egressIP as well. If two policies name the same prefix, the older policy uses its addresses.',
  )
  .optional()

export const interfaceField = z
  .string()
  .max(128)
  .describe(
    'The network interface of the gateway, by name or alternative name. Its first address is the egress IP. Do not set egressIP as well.',
  )
  .optional()

export const egressIpField = z
  .string()
  .max(64)
  .describe('The egress IP: the source address that the destinations see. Do not set interface as well.')
  .optional()

export const condition = z.object({
  type: z.string().describe('The type of the condition, in CamelCase.'),
  status: z.enum(['True', 'False', 'Unknown']).describe('True, False or Unknown.'),
  reason: z.string().describe('The reason for the status, as one CamelCase word for programs.'),
  message: z.string().describe('The reason for the status, as a sentence for people.'),
  lastTransitionTime: z.string().describe('When the status last changed.'),
  observedGeneration: z
    .int()
    .describe('The metadata.generation of the object that the condition describes.')
    .optional(),
})

export const conditionsField = z
  .array(condition)
  .describe('The current state of the object. The message of each condition says what to do.')
  .optional()

/** A validation rule in CEL. The rules of the compatible kinds have the messages that their users know. */
export interface Rule {
  readonly rule: string
  readonly message: string
  /** Computes the message, so that it can name the invalid value. */
  readonly messageExpression?: string
}

/** An empty string counts as absent, as it always has in these kinds. */
export const gatewayRules: readonly Rule[] = [
  {
    rule: "!has(self.interface) || self.interface == '' || !has(self.egressIP) || self.egressIP == ''",
    message: "gateway configuration can't specify both an interface and an egress IP",
  },
  {
    rule: `!has(self.egressIP) || self.egressIP == '' || self.egressIP.matches('${addressPattern}')`,
    message: 'failed to parse egress IP',
    messageExpression: "'failed to parse egress IP ' + self.egressIP",
  },
]

/** Belongs to each entry of the list, so that the error names the entry. */
export const selectorsRule: Rule = {
  rule: 'has(self.podSelector) || has(self.namespaceSelector)',
  message: 'cannot have both nil namespace selector and nil pod selector',
}

export const destinationCidrsRule: Rule = {
  rule: 'size(self.destinationCIDRs) > 0',
  message: "destinationCIDRs can't be empty",
}

/** Belongs to each item of the list, so that the error names the item. */
export function cidrRule(role: 'destination' | 'excluded' | 'egress'): Rule {
  return {
    rule: `self.matches('${prefixPattern}')`,
    message: `failed to parse ${role} CIDR`,
    messageExpression: `'failed to parse ${role} CIDR ' + self`,
  }
}

export const summaryField = z
  .object({
    gateways: z.string().describe('Names of the gateways that new connections use, separated by commas.'),
    egressIPs: z.string().describe('Egress IPs of these gateways, separated by commas.'),
    pods: z
      .int()
      .min(0)
      .describe('Number of running pods that the policy selects, as the nodes have reported it.')
      .optional(),
  })
  .describe('What kubectl get shows in its columns. For programs, conditions and groupStatuses are better.')
  .optional()

export type PolicySummary = NonNullable<z.infer<typeof summaryField>>
