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
  maxEntries,
  type Rule,
  selectorsField,
  summaryField,
} from './policy-fields.ts'

const azAffinityText = `AZAffinity controls the AZ affinity of the gateway nodes to the source pods and allows to select or prefer local (i.e. gateways in the same AZ of a given pod) gateways. 
 4 modes are supported: - disabled: no AZ affinity - localOnly: only local gateway nodes will be selected - localOnlyFirst: only local gateways nodes will be selected until at least one gateway is available in the AZ. When no more local gateways are available, gateways from different AZs will be used - localPriority: local gateways will be picked up first to build the list of active gateways. This mode is supposed to be used in combination with maxGatewayNodes`

/** A rule, not an enum, because `kubectl explain` prints an enum as a section of its own, which users of this kind do not know. */
export const azAffinityRule: Rule = {
  rule: "!has(self.azAffinity) || self.azAffinity in ['', 'disabled', 'localOnly', 'localOnlyFirst', 'localPriority']",
  message: 'azAffinity has an unknown mode: use disabled, localOnly, localOnlyFirst or localPriority',
  messageExpression:
    "'azAffinity has the unknown mode ' + self.azAffinity + ': use disabled, localOnly, localOnlyFirst or localPriority'",
}

/** A gateway uses one egress IP per address family. With both fields set, it is not clear which. */
export const poolRule: Rule = {
  rule: "!has(self.egressCIDRs) || size(self.egressCIDRs) == 0 || self.egressGroups.all(g, !has(g.egressIP) || g.egressIP == '')",
  message: "egressGroups can't specify an egress IP beside egressCIDRs",
}

const egressGroupSchema = z.object({
  nodeSelector: labelSelectorSchema.describe(
    'Nodes that can be gateways. Every node that matches is a candidate.',
  ),
  interface: interfaceField,
  egressIP: egressIpField,
  maxGatewayNodes: z
    .int()
    .min(0)
    .describe(
      'Maximum number of active gateways. The other gateways stand by. If 0 or absent, all gateways are active.',
    )
    .optional(),
})

export const isovalentEgressGatewayPolicySpec = z
  .object({
    selectors: selectorsField,
    destinationCIDRs: destinationCidrsField,
    excludedCIDRs: excludedCidrsField,
    egressGroups: z
      .array(egressGroupSchema)
      .max(maxEntries)
      .describe(
        'Independent groups of gateways. New connections are spread over the active gateways of all groups.',
      ),
    egressCIDRs: egressCidrsField,
    azAffinity: z.string().max(64).describe(azAffinityText).optional(),
  })
  .describe('Which pods use which groups of gateways, and for which destinations.')

export const isovalentEgressGatewayPolicyStatus = z
  .object({
    observedGeneration: z
      .int()
      .describe('The metadata.generation of the policy that this status describes.')
      .optional(),
    conditions: conditionsField.describe(
      'The current state of the policy. Ready: whether it is in force. Shadowed: an older policy decides for some of its destinations. The message of each condition says what to do. docs/conditions.md explains all types.',
    ),
    summary: summaryField,
    groupStatuses: z
      .array(
        z.object({
          activeGatewayIPs: z
            .array(z.string())
            .describe(
              'Node IPs of the gateways that new connections use. With azAffinity, see activeGatewayIPsByAZ.',
            )
            .optional(),
          healthyGatewayIPs: z
            .array(z.string())
            .describe('Node IPs of all healthy gateways, active or standing by.')
            .optional(),
          activeGatewayIPsByAZ: z
            .record(z.string(), z.array(z.string()))
            .describe(
              'For each zone of the source pods, node IPs of the gateways that their new connections use.',
            )
            .optional(),
          egressIPByGatewayIP: z
            .record(z.string(), z.string())
            .describe(
              'For each gateway, by node IP, its egress IP from egressCIDRs. It does not change when gateways are added or removed.',
            )
            .optional(),
          egressIPv6ByGatewayIP: z
            .record(z.string(), z.string())
            .describe('For each gateway, by node IP, its IPv6 egress IP from egressCIDRs.')
            .optional(),
        }),
      )
      .describe('The gateways of each group, in the order of spec.egressGroups.')
      .optional(),
  })
  .describe('Whether the policy is in force, and which gateways it uses.')

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
