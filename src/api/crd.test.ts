import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { ApiObject } from '../lab/apiserver/objects/api-object.ts'
import type { ResourceKind } from '../lab/apiserver/objects/resources.ts'
import { fillDefaults } from '../lab/apiserver/objects/writes/defaults.ts'
import { ruleProblem } from '../lab/apiserver/schema/cel.ts'
import { definitionIssues } from '../lab/apiserver/schema/definition-rules.ts'
import { decodeDefinition } from '../lab/apiserver/schema/definition-shape.ts'
import { estimateRules, mostPerDefinition, mostPerRule } from '../lab/apiserver/schema/rule-cost.ts'
import { type Schema, validate } from '../lab/apiserver/schema/schema.ts'
import { renderCrd, renderCrds } from './crd.ts'
import { kinds } from './kinds.ts'

interface Crd {
  readonly metadata: { readonly name: string }
  readonly spec: {
    readonly group: string
    readonly conversion: object
    readonly names: { readonly plural: string; readonly shortNames: readonly string[] }
    readonly versions: readonly {
      readonly name: string
      readonly schema: { readonly openAPIV3Schema: Schema }
    }[]
  }
}

type KindName = keyof typeof kinds
const kindNames = Object.keys(kinds) as KindName[]

function schemaOf(kind: KindName): Schema {
  return (renderCrd(kind) as Crd).spec.versions[0]!.schema.openAPIV3Schema
}

interface Found {
  readonly path: string
  readonly schema: Schema & Record<string, unknown>
}

function* walk(schema: Schema, path = ''): Generator<Found> {
  yield { path, schema: schema as Found['schema'] }
  for (const [name, below] of Object.entries(schema.properties ?? {})) yield* walk(below, `${path}.${name}`)
  if (schema.items !== undefined) yield* walk(schema.items, `${path}[]`)
  if (typeof schema.additionalProperties === 'object') yield* walk(schema.additionalProperties, `${path}{}`)
}

const all = kindNames.flatMap((kind) => [...walk(schemaOf(kind), kinds[kind].kind)])

describe('every definition', () => {
  test('is named after its plural and group, as an API server requires', () => {
    assert.deepEqual((renderCrds() as Crd[]).map(({ metadata, spec }) => `${metadata.name} ${spec.versions[0]?.name} ${spec.names.shortNames}`), [
      'ciliumegressgatewaypolicies.cilium.io v2 cegp',
      'isovalentegressgatewaypolicies.isovalent.com v1 iegp',
      'egressnodes.sallyport.dev v1alpha1 enode',
      'egressaddresses.sallyport.dev v1alpha1 eaddr',
    ]) // biome-ignore format: one a line
  })

  test('describes each of its fields', () => {
    const ownFields = all.filter(({ path }) => /\.(spec|status)/.test(path) && !/(\[\]|\{\})$/.test(path))
    assert.ok(ownFields.length > 60)
    assert.deepEqual(
      ownFields.filter(({ schema }) => !schema.description).map(({ path }) => path),
      [],
    )
  })

  test('is structural: each value has one type, and no schema uses a keyword that an API server refuses', () => {
    const refused = [
      '$ref',
      '$schema',
      'definitions',
      'anyOf',
      'oneOf',
      'allOf',
      'const',
      'propertyNames',
      'patternProperties',
      'exclusiveMinimum',
      'examples',
    ]
    for (const { path, schema } of all) {
      assert.equal(typeof schema.type, 'string', `${path} has a type`)
      for (const key of refused) assert.ok(!(key in schema), `${path} has no ${key}`)
      assert.ok(
        !(schema.properties && schema.additionalProperties !== undefined),
        `${path} is either a record or a map`,
      )
    }
  })

  test('describes metadata only as an object, and leaves no default for an API server to fill in', () => {
    for (const crd of renderCrds() as Crd[]) {
      assert.deepEqual(crd.spec.versions[0]?.schema.openAPIV3Schema.properties?.metadata, { type: 'object' })
      assert.deepEqual(crd.spec.conversion, { strategy: 'None' })
      const filled = structuredClone(crd) as unknown as ApiObject
      fillDefaults({ kind: 'CustomResourceDefinition' } as ResourceKind, filled)
      assert.deepEqual(filled.spec, JSON.parse(JSON.stringify(crd.spec)))
      assert.deepEqual(definitionIssues(filled), [])
      assert.deepEqual(decodeDefinition(filled), { unknown: [], problem: undefined })
    }
  })

  test('has rules that can be evaluated, on lists with a maximum length', () => {
    const rules = all.flatMap(({ schema }) => schema['x-kubernetes-validations'] ?? [])
    assert.ok(rules.length > 20)
    for (const { rule, messageExpression } of rules) {
      assert.equal(ruleProblem(rule), undefined, rule)
      if (messageExpression !== undefined)
        assert.equal(ruleProblem(messageExpression), undefined, messageExpression)
    }
    const inPolicies = all.filter(({ path }) => /Policy\.spec/.test(path))
    assert.deepEqual(
      inPolicies.filter(({ schema }) => schema.type === 'array' && !schema.maxItems).map(({ path }) => path),
      [],
    )
  })
})

/* The limit here is half of what an API server allows, because this estimate is not that server's own. */
for (const name of kindNames)
  test(`the rules of kind ${kinds[name].kind} cost at most half of what an API server allows`, () => {
    const rules = estimateRules(schemaOf(name))
    assert.ok(rules.length > 0)
    for (const { path, expression, cost } of rules)
      assert.ok(cost < mostPerRule / 2, `${path}: ${expression} costs ${cost}`)
    const whole = rules.reduce((sum, { cost }) => sum + cost, 0)
    assert.ok(whole < mostPerDefinition / 2, `all of them cost ${whole}`)
  })

test('the description of azAffinity names its four modes', () => {
  const { description = '' } = all.find(({ path }) => path.endsWith('.spec.azAffinity'))?.schema ?? {}
  assert.match(
    description as string,
    /^AZAffinity controls the AZ affinity of the gateway nodes to the source pods.*4 modes are supported:/s,
  )
  for (const mode of ['disabled', 'localOnly', 'localOnlyFirst', 'localPriority'])
    assert.ok(`${description}`.includes(` - ${mode}: `), mode)
})

const valid = {
  selectors: [{ podSelector: { matchLabels: { org: 'alliance' } } }],
  destinationCIDRs: ['172.18.0.0/16'],
  egressGateway: { nodeSelector: { matchLabels: { 'egress-gw': 'true' } }, interface: 'net0' },
}
const validGroups = {
  selectors: valid.selectors,
  destinationCIDRs: valid.destinationCIDRs,
  egressGroups: [valid.egressGateway],
  azAffinity: 'localOnlyFirst',
}

/** The errors that an API server finds in an object, as `field: message`. */
function issues(kind: KindName, spec: object, oldSpec?: object): readonly string[] {
  const object = (of: object) =>
    ({ apiVersion: 'v1', kind: kinds[kind].kind, metadata: { name: 'p' }, spec: of }) as unknown as ApiObject
  const found = validate(object(spec), oldSpec && object(oldSpec), schemaOf(kind))
  return found
    .filter(({ field, message }) => field !== '<nil>' || !message.includes('were not checked'))
    .map(({ field, message }) => `${field}: ${message.replace(/^Invalid value: (?:"[^"]*": )?/, '')}`)
}

describe('an API server with these definitions', () => {
  const cases: readonly { name: string; kind?: KindName; spec: object; expect: readonly string[] }[] = [
    { name: 'accepts the policy of the walkthrough', spec: valid, expect: [] },
    {
      name: 'accepts a policy with groups',
      kind: 'isovalentEgressGatewayPolicy',
      spec: validGroups,
      expect: [],
    },
    {
      name: 'accepts an empty list of selectors, which selects nothing',
      spec: { ...valid, selectors: [] },
      expect: [],
    },
    {
      name: 'accepts an IPv6 egress IP',
      spec: { ...valid, egressGateway: { nodeSelector: {}, egressIP: 'fc00::1' } },
      expect: [],
    },
    {
      name: 'accepts an empty interface beside an egress IP',
      spec: { ...valid, egressGateway: { nodeSelector: {}, interface: '', egressIP: '10.0.0.1' } },
      expect: [],
    },
    {
      name: 'refuses a policy without destinations',
      spec: { ...valid, destinationCIDRs: [] },
      expect: ["spec: destinationCIDRs can't be empty"],
    },
    {
      name: 'refuses a policy without a gateway',
      spec: { ...valid, egressGateway: undefined },
      expect: ['spec.egressGateway: Required value'],
    },
    {
      name: 'refuses a gateway without a node selector',
      spec: { ...valid, egressGateway: {} },
      expect: ['spec.egressGateway.nodeSelector: Required value'],
    },
    {
      name: 'refuses a gateway with both an interface and an egress IP',
      spec: { ...valid, egressGateway: { ...valid.egressGateway, egressIP: '10.0.0.1' } },
      expect: ["spec.egressGateway: gateway configuration can't specify both an interface and an egress IP"],
    },
    {
      name: 'refuses such a gateway in a list and names its index',
      spec: {
        ...valid,
        egressGateways: [valid.egressGateway, { ...valid.egressGateway, egressIP: '10.0.0.1' }],
      },
      expect: [
        "spec.egressGateways[1]: gateway configuration can't specify both an interface and an egress IP",
      ],
    },
    {
      name: 'refuses an invalid egress IP and names it',
      spec: { ...valid, egressGateway: { nodeSelector: {}, egressIP: '10.0.0' } },
      expect: ['spec.egressGateway: failed to parse egress IP 10.0.0'],
    },
    {
      name: 'refuses invalid destination and excluded CIDRs and names all of them at once',
      spec: { ...valid, destinationCIDRs: ['10.0.0.0/8', '10.0.0.0/33', 'all'], excludedCIDRs: ['10.0.0.1'] },
      expect: [
        'spec.destinationCIDRs[1]: failed to parse destination CIDR 10.0.0.0/33',
        'spec.destinationCIDRs[2]: failed to parse destination CIDR all',
        'spec.excludedCIDRs[0]: failed to parse excluded CIDR 10.0.0.1',
      ],
    },
    {
      name: 'refuses a selector that has only a node selector',
      spec: { ...valid, selectors: [{ nodeSelector: {} }] },
      expect: ['spec.selectors[0]: cannot have both nil namespace selector and nil pod selector'],
    },
    {
      name: 'refuses In without values and Exists with values',
      spec: {
        ...valid,
        selectors: [
          {
            podSelector: {
              matchExpressions: [
                { key: 'a', operator: 'In' },
                { key: 'b', operator: 'Exists', values: ['x'] },
              ],
            },
          },
        ],
      },
      expect: [0, 1].map(
        (index) =>
          `spec.selectors[0].podSelector.matchExpressions[${index}]: In and NotIn need at least one value, Exists and DoesNotExist take none`,
      ),
    },
    {
      name: 'refuses an unknown operator of a requirement',
      spec: {
        ...valid,
        selectors: [{ podSelector: { matchExpressions: [{ key: 'a', operator: 'Near' }] } }],
      },
      expect: [
        'spec.selectors[0].podSelector.matchExpressions[0].operator: Unsupported value: "Near": supported values: "In", "NotIn", "Exists", "DoesNotExist"',
      ],
    },
    {
      name: 'refuses an unknown azAffinity and names it',
      kind: 'isovalentEgressGatewayPolicy',
      spec: { ...validGroups, azAffinity: 'nearby' },
      expect: [
        'spec: azAffinity has the unknown mode nearby: use disabled, localOnly, localOnlyFirst or localPriority',
      ],
    },
    {
      name: 'refuses an egress IP beside a pool',
      kind: 'isovalentEgressGatewayPolicy',
      spec: {
        ...validGroups,
        egressGroups: [{ nodeSelector: {}, egressIP: '10.0.0.1' }],
        egressCIDRs: ['10.0.0.0/24'],
      },
      expect: ["spec: egressGroups can't specify an egress IP beside egressCIDRs"],
    },
    {
      name: 'accepts an interface beside a pool, where the gateway configures its address',
      kind: 'isovalentEgressGatewayPolicy',
      spec: { ...validGroups, egressCIDRs: ['10.0.0.0/24', 'fd00::/64'] },
      expect: [],
    },
    {
      name: 'refuses a lease of ports below 1024',
      kind: 'egressAddress',
      spec: { address: '10.0.0.1', leases: [{ firstPort: 80, blocks: 1, slot: 0 }] },
      expect: [
        'spec.leases[0].firstPort: 80: spec.leases[0].firstPort in body should be greater than or equal to 1024',
      ],
    },
  ]
  for (const { name, kind = 'ciliumEgressGatewayPolicy', spec, expect } of cases)
    test(name, () => assert.deepEqual(issues(kind, JSON.parse(JSON.stringify(spec)) as object), expect))

  test('refuses to remove the slot of an EgressNode', () => {
    assert.deepEqual(issues('egressNode', {}, { slot: 3 }), [
      'spec: slot cannot be removed after it has been set',
    ])
    assert.deepEqual(issues('egressNode', { slot: 3 }, {}), [])
  })
})
