import { z } from 'zod'
import { addressPattern, prefixPattern } from './address-pattern.ts'
import { labelSelectorSchema } from './label-selector.ts'

/*
 * What the two policy kinds have in common. Lists and texts have an upper bound each, because an API server refuses rules
 * whose cost it cannot estimate (Kubernetes, "Validation rules: resource use by validation functions").
 */

/** The longest CIDR is an IPv6 one with an IPv4 part: 45 characters, a slash and three digits. */
const cidrText = z.string().max(49)
/**
 * An API server refuses a rule that may cost more than 10,000,000. As it counts a pattern that is tried on every item:
 *
 *   a tenth of the text, 49 characters of 4 bytes        20
 *   a quarter of the pattern, 693 characters            174
 *   of 1,024 items                                3,563,520
 */
const mostCidrs = 1024
export const mostEntries = 256

export const selectorsField = z
  .array(
    z.object({
      podSelector: labelSelectorSchema
        .describe(
          'Pods by their labels. The key io.kubernetes.pod.namespace stands for the namespace that the pod is in.',
        )
        .optional(),
      namespaceSelector: labelSelectorSchema
        .describe('Namespaces by their labels. An empty selector selects every namespace.')
        .optional(),
      nodeSelector: labelSelectorSchema
        .describe(
          'Nodes that run the pods, by their labels. It narrows the other selectors and never stands alone.',
        )
        .optional(),
    }),
  )
  .max(mostEntries)
  .describe(
    'Which pods the policy applies to. A pod is selected when all selectors of at least one entry match it. An empty list selects nothing.',
  )

export const destinationCidrsField = z
  .array(cidrText)
  .max(mostCidrs)
  .describe('Destinations that the policy applies to, as CIDRs of IPv4 or IPv6.')

export const excludedCidrsField = z
  .array(cidrText)
  .max(mostCidrs)
  .describe(
    "Destinations inside destinationCIDRs that the policy does not apply to: traffic to them leaves with the node's own address.",
  )
  .optional()

export const egressCidrsField = z
  .array(cidrText)
  .max(mostCidrs)
  .describe(
    'A pool of addresses: each active gateway is given one of each IP family that the pool has, and puts it on the interface of its group, or else on that of its default route. Not together with egressIP. Of prefixes that two policies name, the older policy has the addresses.',
  )
  .optional()

export const interfaceField = z
  .string()
  .max(128)
  .describe(
    'The network interface whose first address becomes the source of the traffic. Alternative names of the interface count. Not together with egressIP.',
  )
  .optional()

export const egressIpField = z
  .string()
  .max(64)
  .describe('The address that becomes the source of the traffic. Not together with interface.')
  .optional()

export const condition = z.object({
  type: z.string().describe('What the condition is about, in CamelCase.'),
  status: z.enum(['True', 'False', 'Unknown']).describe('True, False or Unknown.'),
  reason: z.string().describe('Why, in one CamelCase word.'),
  message: z.string().describe('Why, in a sentence for people.'),
  lastTransitionTime: z.string().describe('When the status last changed.'),
  observedGeneration: z
    .int()
    .describe('The generation of the policy that the condition is about.')
    .optional(),
})

export const conditionsField = z
  .array(condition)
  .describe('What is well with the policy, and what is not.')
  .optional()

/** A rule that spans fields, in CEL, with the message that users of these kinds know. */
export interface Rule {
  readonly rule: string
  readonly message: string
  /** The message with the value that is wrong. */
  readonly messageExpression?: string
}

/** An empty text is as good as none, as it has always been in these kinds. */
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

/** Of each entry, so that the field that is told is the entry. */
export const selectorsRule: Rule = {
  rule: 'has(self.podSelector) || has(self.namespaceSelector)',
  message: 'cannot have both nil namespace selector and nil pod selector',
}

export const destinationCidrsRule: Rule = {
  rule: 'size(self.destinationCIDRs) > 0',
  message: "destinationCIDRs can't be empty",
}

/** Of each item, so that the field that is told is the item, and what is said of it needs no second look at the list. */
export function cidrRule(what: string): Rule {
  return {
    rule: `self.matches('${prefixPattern}')`,
    message: `failed to parse ${what} CIDR`,
    messageExpression: `'failed to parse ${what} CIDR ' + self`,
  }
}

export const summaryField = z
  .object({
    gateways: z.string().describe('The gateways that new connections use, by name, separated by commas.'),
    egressIPs: z.string().describe('Their egress IPs, separated by commas.'),
  })
  .describe('What the columns of kubectl get show. Programs read groupStatuses and conditions instead.')
  .optional()

export type PolicySummary = NonNullable<z.infer<typeof summaryField>>
