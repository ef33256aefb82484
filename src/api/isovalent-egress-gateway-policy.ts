import { z } from 'zod'
import { labelSelectorSchema } from './label-selector.ts'
import type { ObjectMeta } from './metadata.ts'
import {
  conditionsField,
  destinationCidrsField,
  egressCidrsField,
  egressIpField,
  excludedCidrsField,
  interfaceField,
  mostEntries,
  type Rule,
  selectorsField,
  summaryField,
} from './policy-fields.ts'

const azAffinityText = `AZAffinity controls the AZ affinity of the gateway nodes to the source pods and allows to select or prefer local (i.e. gateways in the same AZ of a given pod) gateways. 
 4 modes are supported: - disabled: no AZ affinity - localOnly: only local gateway nodes will be selected - localOnlyFirst: only local gateways nodes will be selected until at least one gateway is available in the AZ. When no more local gateways are available, gateways from different AZs will be used - localPriority: local gateways will be picked up first to build the list of active gateways. This mode is supposed to be used in combination with maxGatewayNodes`

/** A rule, not an enumeration: of that `kubectl explain` would make a section that users of this kind do not know. */
export const azAffinityRule: Rule = {
  rule: "!has(self.azAffinity) || self.azAffinity in ['', 'disabled', 'localOnly', 'localOnlyFirst', 'localPriority']",
  message: 'azAffinity is none of disabled, localOnly, localOnlyFirst, localPriority',
  messageExpression:
    "'azAffinity ' + self.azAffinity + ' is none of disabled, localOnly, localOnlyFirst, localPriority'",
}

/** Which of the two would count? */
export const poolRule: Rule = {
  rule: "!has(self.egressCIDRs) || size(self.egressCIDRs) == 0 || self.egressGroups.all(g, !has(g.egressIP) || g.egressIP == '')",
  message: "egressGroups can't specify an egress IP beside egressCIDRs",
}

const egressGroupSchema = z.object({
  nodeSelector: labelSelectorSchema.describe('Nodes that can be gateways: every match is a candidate.'),
  interface: interfaceField,
  egressIP: egressIpField,
  maxGatewayNodes: z
    .int()
    .min(0)
    .describe('How many gateways are active at most; the others stand by. 0 or absent: all.')
    .optional(),
})

export const isovalentEgressGatewayPolicySpec = z
  .object({
    selectors: selectorsField,
    destinationCIDRs: destinationCidrsField,
    excludedCIDRs: excludedCidrsField,
    egressGroups: z
      .array(egressGroupSchema)
      .max(mostEntries)
      .describe(
        'Independent sets of gateways. Connections are spread over the active gateways of all of them.',
      ),
    egressCIDRs: egressCidrsField,
    azAffinity: z.string().max(64).describe(azAffinityText).optional(),
  })
  .describe('Which pods leave to which destinations by which groups of gateways.')

export const isovalentEgressGatewayPolicyStatus = z
  .object({
    observedGeneration: z.int().describe('The generation that this status is about.').optional(),
    conditions: conditionsField,
    summary: summaryField,
    groupStatuses: z
      .array(
        z.object({
          activeGatewayIPs: z
            .array(z.string())
            .describe('Gateways that new connections use, by node IP. Without azAffinity, from every node.')
            .optional(),
          healthyGatewayIPs: z
            .array(z.string())
            .describe('Gateways that live, by node IP: the active ones, and those that stand by.')
            .optional(),
          activeGatewayIPsByAZ: z
            .record(z.string(), z.array(z.string()))
            .describe('Gateways that new connections from each zone use, by node IP.')
            .optional(),
          egressIPByGatewayIP: z
            .record(z.string(), z.string())
            .describe(
              'The address that each gateway was given from egressCIDRs, by node IP. It stays while other gateways come and go.',
            )
            .optional(),
          egressIPv6ByGatewayIP: z
            .record(z.string(), z.string())
            .describe('The same of the IPv6 prefixes of egressCIDRs.')
            .optional(),
        }),
      )
      .describe('One entry for each of the egressGroups, in their order.')
      .optional(),
  })
  .describe('What Sallyport made of the policy.')

export interface IsovalentEgressGatewayPolicy {
  readonly apiVersion?: string
  readonly kind?: string
  readonly metadata: ObjectMeta
  readonly spec: z.infer<typeof isovalentEgressGatewayPolicySpec>
  readonly status?: z.infer<typeof isovalentEgressGatewayPolicyStatus>
}

export type GroupStatus = NonNullable<
  NonNullable<IsovalentEgressGatewayPolicy['status']>['groupStatuses']
>[number]
