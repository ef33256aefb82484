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

/** What a CustomResourceDefinition says of a kind beside its names. */
interface Definition {
  readonly description: string
  readonly spec: z.ZodType
  readonly status?: z.ZodType
  readonly isSpecRequired: boolean
  /** CEL rules by the path of the schema they belong to: '' is the spec itself, `[]` a list's items. */
  readonly rules: Readonly<Record<string, readonly Rule[]>>
  readonly columns: readonly PrinterColumn[]
}

/** Of `kubectl get`. With a priority, of `-o wide` only. */
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
  wide(text('Reason', ready('reason'))),
  wide(text('Destinations', '.spec.destinationCIDRs')),
  age,
]
const policyRules: readonly Rule[] = [destinationCidrsRule]
const destinationRules: Definition['rules'] = {
  'destinationCIDRs[]': [cidrRule('destination')],
  'excludedCIDRs[]': [cidrRule('excluded')],
}

/** Wherever a label selector stands: its requirements are lists inside it, which the rules reach by their path. */
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
      'Lets chosen pods leave the cluster to chosen destinations by one gateway, from its address.',
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
      'Lets chosen pods leave the cluster to chosen destinations by groups of gateways that stand in for each other.',
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
      'A node as Sallyport sees it: its slot, and the addresses that it can lend to pods of any node.',
    spec: egressNodeSpec,
    status: egressNodeStatus,
    isSpecRequired: false,
    rules: {
      '': [{ rule: '!has(oldSelf.slot) || has(self.slot)', message: 'a slot is given once and stays' }],
    },
    columns: [
      { name: 'Slot', type: 'integer', jsonPath: '.spec.slot' },
      text('Connected', '.status.conditions[?(@.type=="Connected")].status'),
      wide(text('Reason', '.status.conditions[?(@.type=="Connected")].reason')),
      wide(text('Reachable', '.status.heard')),
      wide(text('Unreachable', '.status.unreachable')),
      wide(text('Version', '.status.version')),
      age,
    ],
  },
  egressAddress: {
    description: 'An egress IP: the node where it belongs, and the ports of it that were leased to nodes.',
    spec: egressAddressSpec,
    status: egressAddressStatus,
    isSpecRequired: true,
    rules: {
      '': [{ rule: `self.address.matches('${addressPattern}')`, message: 'failed to parse address' }],
    },
    columns: [text('Address', '.spec.address'), text('Owner', '.spec.owner'), age],
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
      apiVersion: { type: 'string', description: 'The version of the schema that the object is written in.' },
      kind: { type: 'string', description: 'What the object is.' },
      // An API server knows what metadata is, and refuses a definition that says more of it than this.
      metadata: { type: 'object' },
      spec: withRules(structural(spec), rules),
      ...(status === undefined ? {} : { status: structural(status) }),
    },
    ...(isSpecRequired ? { required: ['spec'] } : {}),
  }
}

type Schema = { [key: string]: unknown }

/** OpenAPI as the API server accepts it: no $schema, no additionalProperties beside properties. */
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
