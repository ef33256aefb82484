import { z } from 'zod'
import { addressPattern } from './address-pattern.ts'
import {
  ciliumEgressGatewayPolicySpec,
  ciliumEgressGatewayPolicyStatus,
} from './cilium-egress-gateway-policy.ts'
import { egressAddressSpec, egressAddressStatus } from './egress-address.ts'
import { egressNodeSpec, egressNodeStatus } from './egress-node.ts'
import {
  azAffinityRule,
  isovalentEgressGatewayPolicySpec,
  isovalentEgressGatewayPolicyStatus,
  poolRule,
} from './isovalent-egress-gateway-policy.ts'
import { kinds, managedByLabel } from './kinds.ts'
import { requirementRule } from './label-selector.ts'
import { cidrRule, destinationCidrsRule, gatewayRules, type Rule, selectorsRule } from './policy-fields.ts'

/** Everything in a CustomResourceDefinition except the kind's names. */
interface Definition {
  readonly description: string
  readonly spec: z.ZodType
  readonly status?: z.ZodType
  readonly isSpecRequired: boolean
  /** CEL rules by the path of their schema. '' is the spec itself, `[]` the items of a list. */
  readonly rules: Readonly<Record<string, readonly Rule[]>>
  readonly columns: readonly PrinterColumn[]
}

/** A column of `kubectl get`. One with a priority appears only with `-o wide`. */
interface PrinterColumn {
  readonly name: string
  readonly type: string
  readonly jsonPath: string
  readonly priority?: number
}

const age = { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' }
const text = (name: string, jsonPath: string): PrinterColumn => ({ name, type: 'string', jsonPath })
const wide = (column: PrinterColumn): PrinterColumn => ({ ...column, priority: 1 })
const ready = (field: string): string => `.status.conditions[?(@.type=="Ready")].${field}`
const policyColumns: readonly PrinterColumn[] = [
  text('Ready', ready('status')),
  text('Gateway', '.status.summary.gateways'),
  text('Egress IP', '.status.summary.egressIPs'),
  { name: 'Pods', type: 'integer', jsonPath: '.status.summary.pods' },
  wide(text('Reason', ready('reason'))),
  wide(text('Destinations', '.spec.destinationCIDRs')),
  age,
]
const policyRules: readonly Rule[] = [destinationCidrsRule]
const destinationRules: Definition['rules'] = {
  'destinationCIDRs[]': [cidrRule('destination')],
  'excludedCIDRs[]': [cidrRule('excluded')],
}

/** The rules of the label selectors at these paths. */
function selectorRules(...paths: readonly string[]): Record<string, readonly Rule[]> {
  return Object.fromEntries(paths.map((path) => [`${path}.matchExpressions[]`, [requirementRule]]))
}

const podSelectionRules = {
  'selectors[]': [selectorsRule],
  ...selectorRules('selectors[].podSelector', 'selectors[].namespaceSelector', 'selectors[].nodeSelector'),
}

const definitions: Readonly<Record<keyof typeof kinds, Definition>> = {
  ciliumEgressGatewayPolicy: {
    description:
      'Sends traffic of selected pods to selected destinations through one gateway. The destinations see its egress IP.',
    spec: ciliumEgressGatewayPolicySpec,
    status: ciliumEgressGatewayPolicyStatus,
    isSpecRequired: true,
    rules: {
      '': policyRules,
      ...destinationRules,
      egressGateway: gatewayRules,
      'egressGateways[]': gatewayRules,
      ...podSelectionRules,
      ...selectorRules('egressGateway.nodeSelector', 'egressGateways[].nodeSelector'),
    },
    columns: policyColumns,
  },
  isovalentEgressGatewayPolicy: {
    description:
      'Sends traffic of selected pods to selected destinations through groups of gateways. The destinations see their egress IPs. If a gateway fails, another one takes over its egress IP.',
    spec: isovalentEgressGatewayPolicySpec,
    status: isovalentEgressGatewayPolicyStatus,
    isSpecRequired: true,
    rules: {
      '': [...policyRules, azAffinityRule, poolRule],
      ...destinationRules,
      'egressCIDRs[]': [cidrRule('egress')],
      'egressGroups[]': gatewayRules,
      ...podSelectionRules,
      ...selectorRules('egressGroups[].nodeSelector'),
    },
    columns: policyColumns,
  },
  egressNode: {
    description:
      'A node of the cluster: its slot, its network interfaces, and the gateways that it can reach. Sallyport creates one for each node.',
    spec: egressNodeSpec,
    status: egressNodeStatus,
    isSpecRequired: false,
    rules: {
      '': [
        {
          rule: '!has(oldSelf.slot) || has(self.slot)',
          message: 'slot cannot be removed after it has been set',
        },
      ],
    },
    columns: [
      { name: 'Slot', type: 'integer', jsonPath: '.spec.slot' },
      text('Connected', '.status.conditions[?(@.type=="Connected")].status'),
      wide(text('Reason', '.status.conditions[?(@.type=="Connected")].reason')),
      wide(text('Reachable', '.status.heard')),
      wide(text('Unreachable', '.status.unreachable')),
      wide(text('By link', '.status.byLink')),
      wide(text('Version', '.status.version')),
      age,
    ],
  },
  egressAddress: {
    description:
      'An egress IP, its owner, and the ports that are leased to nodes. Sallyport creates one for each egress IP.',
    spec: egressAddressSpec,
    status: egressAddressStatus,
    isSpecRequired: true,
    rules: {
      '': [{ rule: `self.address.matches('${addressPattern}')`, message: 'failed to parse address' }],
    },
    columns: [
      text('Address', '.spec.address'),
      text('Owner', '.spec.owner'),
      text('Lingering', '.status.conditions[?(@.type=="Lingering")].status'),
      { name: 'Connections', type: 'integer', jsonPath: '.status.lingering.connections' },
      age,
    ],
  },
}

export function renderCrds(): object[] {
  return kindNames.map(renderCrd)
}

const kindNames = Object.keys(kinds) as (keyof typeof kinds)[]

export function renderCrd(name: keyof typeof kinds): object {
  const { group, version, plural, singular, kind, shortNames, categories } = kinds[name]
  const definition = definitions[name]
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${group}`, labels: managedByLabel },
    spec: {
      group,
      scope: 'Cluster',
      names: { kind, listKind: `${kind}List`, plural, singular, shortNames, categories },
      conversion: { strategy: 'None' },
      versions: [
        {
          name: version,
          served: true,
          storage: true,
          ...(definition.status === undefined ? {} : { subresources: { status: {} } }),
          additionalPrinterColumns: definition.columns,
          schema: { openAPIV3Schema: renderSchema(definition) },
        },
      ],
    },
  }
}

function renderSchema({ description, spec, status, rules, isSpecRequired }: Definition): object {
  return {
    type: 'object',
    description,
    properties: {
      apiVersion: { type: 'string', description: 'The API group and version of the object.' },
      kind: { type: 'string', description: 'The kind of the object.' },
      // An API server defines metadata itself and refuses a definition that describes it further.
      metadata: { type: 'object' },
      spec: withRules(structural(spec), rules),
      ...(status === undefined ? {} : { status: structural(status) }),
    },
    ...(isSpecRequired ? { required: ['spec'] } : {}),
  }
}

type Schema = { [key: string]: unknown }

/** The schema in the form that API servers accept: without $schema, and without additionalProperties beside properties. */
function structural(type: z.ZodType): Schema {
  const { $schema: _, ...schema } = z.toJSONSchema(type, { target: 'openapi-3.0', io: 'input' }) as Schema
  return clean(schema) as Schema
}

function clean(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(clean)
  if (typeof node !== 'object' || node === null) return node
  const entries = Object.entries(node).filter(
    ([key]) => key !== 'propertyNames' && !(key === 'additionalProperties' && 'properties' in node),
  )
  const cleaned = Object.fromEntries(entries.map(([key, value]) => [key, clean(value)]))
  return cleaned.type === 'integer' ? { ...cleaned, format: 'int64' } : cleaned
}

function withRules(spec: Schema, rules: Definition['rules']): Schema {
  for (const [path, list] of Object.entries(rules)) {
    const target = path
      .split(/[.]/)
      .filter((part) => part !== '')
      .reduce(descend, spec)
    target['x-kubernetes-validations'] = list
  }
  return spec
}

function descend(schema: Schema, part: string): Schema {
  const property = (schema.properties as Record<string, Schema>)[part.replace('[]', '')]
  if (property === undefined) throw new Error(`the schema has no property ${part}`)
  return part.endsWith('[]') ? (property.items as Schema) : property
}
