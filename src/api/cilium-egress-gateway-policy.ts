import { z } from 'zod'
import { labelSelectorSchema } from './label-selector.ts'
import type { ObjectMeta } from './metadata.ts'
import {
  conditionsField,
  destinationCidrsField,
  egressIpField,
  excludedCidrsField,
  interfaceField,
  mostEntries,
  selectorsField,
  summaryField,
} from './policy-fields.ts'

const gatewaySchema = z.object({
  nodeSelector: labelSelectorSchema.describe(
    'Nodes that can be the gateway. The first match by name is, and the others take over when it is gone.',
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
      'The gateway that the traffic leaves by. Ignored when egressGateways is not empty.',
    ),
    egressGateways: z
      .array(gatewaySchema)
      .max(mostEntries)
      .describe('Several gateways that the pods are spread over: each pod always uses the same one.')
      .optional(),
  })
  .describe('Which pods leave to which destinations by which gateway.')

export const ciliumEgressGatewayPolicyStatus = z
  .object({
    observedGeneration: z.int().describe('The generation that this status is about.').optional(),
    conditions: conditionsField,
    summary: summaryField,
  })
  .describe('What Sallyport made of the policy.')

export interface CiliumEgressGatewayPolicy {
  readonly apiVersion?: string
  readonly kind?: string
  readonly metadata: ObjectMeta
  readonly spec: z.infer<typeof ciliumEgressGatewayPolicySpec>
  readonly status?: z.infer<typeof ciliumEgressGatewayPolicyStatus>
}
