import { z } from 'zod'
import { labelSelectorSchema } from './label-selector.ts'
import type { ObjectMeta } from './metadata.ts'
import {
  conditionsField,
  destinationCidrsField,
  egressIpField,
  excludedCidrsField,
  interfaceField,
  maxEntries,
  selectorsField,
  summaryField,
} from './policy-fields.ts'

const gatewaySchema = z.object({
  nodeSelector: labelSelectorSchema.describe(
    'Nodes that can be the gateway. The first matching node by name is the gateway. If it is unreachable, the next one takes over.',
  ),
  interface: interfaceField,
  egressIP: egressIpField,
})

export const ciliumEgressGatewayPolicySpec = z
  .object({
    selectors: selectorsField,
    destinationCIDRs: destinationCidrsField,
    excludedCIDRs: excludedCidrsField,
    egressGateway: gatewaySchema.describe(
      'The gateway of the selected traffic. Ignored if egressGateways is not empty.',
    ),
    egressGateways: z
      .array(gatewaySchema)
      .max(maxEntries)
      .describe(
        'Several gateways. The selected pods are spread over them. Each pod always uses the same one.',
      )
      .optional(),
  })
  .describe('Which pods use which gateway, and for which destinations.')

export const ciliumEgressGatewayPolicyStatus = z
  .object({
    observedGeneration: z
      .int()
      .describe('The metadata.generation of the policy that this status describes.')
      .optional(),
    conditions: conditionsField.describe(
      'The current state of the policy. Ready: whether it is in force. Shadowed: an older policy decides for some of its destinations. The message of each condition says what to do. docs/conditions.md explains all types.',
    ),
    summary: summaryField,
  })
  .describe('Whether the policy is in force, and which gateways it uses.')

export interface CiliumEgressGatewayPolicy {
  readonly apiVersion?: string
  readonly kind?: string
  readonly metadata: ObjectMeta
  readonly spec: z.infer<typeof ciliumEgressGatewayPolicySpec>
  readonly status?: z.infer<typeof ciliumEgressGatewayPolicyStatus>
}
