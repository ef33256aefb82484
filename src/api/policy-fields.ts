import { z } from 'zod'
import { labelSelectorSchema } from './label-selector.ts'

/** What the two policy kinds have in common. */
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
  .describe(
    'Which pods the policy applies to. A pod is selected when all selectors of at least one entry match it. An empty list selects nothing.',
  )

export const destinationCidrsField = z
  .array(z.string())
  .describe('Destinations that the policy applies to, as CIDRs of IPv4 or IPv6.')

export const excludedCidrsField = z
  .array(z.string())
  .describe(
    "Destinations inside destinationCIDRs that the policy does not apply to: traffic to them leaves with the node's own address.",
  )
  .optional()

export const interfaceField = z
  .string()
  .describe(
    'The network interface whose first address becomes the source of the traffic. Alternative names of the interface count. Not together with egressIP.',
  )
  .optional()

export const egressIpField = z
  .string()
  .describe('The address that becomes the source of the traffic. Not together with interface.')
  .optional()

export const conditionsField = z
  .array(
    z.object({
      type: z.string().describe('What the condition is about, in CamelCase.'),
      status: z.enum(['True', 'False', 'Unknown']).describe('True, False or Unknown.'),
      reason: z.string().describe('Why, in one CamelCase word.'),
      message: z.string().describe('Why, in a sentence for people.'),
      lastTransitionTime: z.string().describe('When the status last changed.'),
      observedGeneration: z
        .int()
        .describe('The generation of the policy that the condition is about.')
        .optional(),
    }),
  )
  .describe('What is well with the policy, and what is not.')
  .optional()

/** The rules that span fields, in CEL, with the messages that users of these kinds know. */
export const noInterfaceAndEgressIp = {
  rule: '!(has(self.interface) && has(self.egressIP))',
  message: "gateway configuration can't specify both an interface and an egress IP",
}

export const selectorsRule = {
  rule: 'self.selectors.all(s, has(s.podSelector) || has(s.namespaceSelector))',
  message: 'cannot have both nil namespace selector and nil pod selector',
}

export const destinationCidrsRule = {
  rule: 'size(self.destinationCIDRs) > 0',
  message: "destinationCIDRs can't be empty",
}

export function cidrRule(field: 'destinationCIDRs' | 'excludedCIDRs' | 'egressCIDRs', what: string) {
  const test = `self.${field}.all(c, isCIDR(c))`
  return {
    rule: field === 'destinationCIDRs' ? test : `!has(self.${field}) || ${test}`,
    message: `failed to parse ${what} CIDR`,
  }
}

export const egressIpRule = {
  rule: '!has(self.egressIP) || isIP(self.egressIP)',
  message: 'failed to parse egress IP',
}
