import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { ciliumPolicy, pod, world } from '../../../test/support/world-builder.ts'
import type { LabelSelector } from '../../api/label-selector.ts'
import { gatherContext, selectingPolicies } from '../context.ts'
import { explainPolicies } from '../status/status.ts'
import { canSelectSamePod, readPodSelection, type Selectors, type Subject } from './pod-selection.ts'

type Entry = Parameters<typeof ciliumPolicy>[1] extends infer P
  ? NonNullable<NonNullable<P & { selectors?: unknown[] }>['selectors']>[number]
  : never

const tie = pod('tie', {
  labels: { app: 'tie', 'app.kubernetes.io/name': 'tie' },
  namespace: 'empire',
  serviceAccount: 'pilot',
})

function isSelected(entry: object): boolean {
  const parts = {
    namespaces: [{ name: 'empire', labels: { team: 'dark', 'kubernetes.io/metadata.name': 'empire' } }],
    pods: [tie],
    ciliumPolicies: [ciliumPolicy('p', { selectors: [entry as Entry] as never })],
  }
  return selectingPolicies(gatherContext(world(parts)), tie).length > 0
}

const withLabel = (key: string, value: string) => ({ podSelector: { matchLabels: { [key]: value } } })
const withExpression = (key: string, operator: string, ...values: string[]) => ({
  podSelector: {
    matchExpressions: [{ key, operator, ...(values.length === 0 ? {} : { values }) }],
  },
})

describe('a key in a form that Cilium knows', () => {
  const account = 'io.cilium.k8s.policy.serviceaccount'
  const team = 'io.cilium.k8s.namespace.labels.team'
  const namespace = 'io.kubernetes.pod.namespace'
  const cases: readonly (readonly [says: string, entry: object, isSelected: boolean])[] = [
    ['k8s:app means the label app', withLabel('k8s:app', 'tie'), true],
    ['k8s:app does not mean another value', withLabel('k8s:app', 'xwing'), false],
    ['any:app means the label app', withLabel('any:app', 'tie'), true],
    ['k8s: is taken off a key with a slash', withLabel('k8s:app.kubernetes.io/name', 'tie'), true],
    ['k8s:app means the label app in expressions', withExpression('k8s:app', 'NotIn', 'tie'), false],
    ['a service account selects its pods', withLabel(account, 'pilot'), true],
    ['a service account selects no other pods', withLabel(account, 'default'), false],
    ['a service account may have its source in front', withLabel(`k8s:${account}`, 'pilot'), true],
    ['every pod has a service account', withExpression(account, 'DoesNotExist'), false],
    ['a namespace’s label selects its pods', withLabel(team, 'dark'), true],
    ['a namespace’s label selects no other pods', withLabel(`k8s:${team}`, 'light'), false],
    ['a namespace’s label may be asked not to exist', withExpression(`${team}s`, 'DoesNotExist'), true],
    ['a namespace is selected by name', withLabel(namespace, 'empire'), true],
    ['a namespace may have its source in front', withLabel(`k8s:${namespace}`, 'empire'), true],
    ['In selects a namespace of the list', withExpression(namespace, 'In', 'default', 'empire'), true],
    [
      'NotIn does not select a namespace of the list',
      withExpression(namespace, 'NotIn', 'default', 'empire'),
      false,
    ],
    ['a namespace always exists', withExpression(namespace, 'Exists'), true],
    ['a namespace is never absent', withExpression(namespace, 'DoesNotExist'), false],
    [
      'a key of a namespaceSelector may have its source',
      { namespaceSelector: { matchLabels: { 'k8s:team': 'dark' } } },
      true,
    ],
    ['a host is not a pod', withLabel('reserved:host', ''), false],
  ]
  for (const [says, entry, expect] of cases) test(says, () => assert.equal(isSelected(entry), expect))

  test('a pod without a named service account has the one named default', () => {
    const policies = { ciliumPolicies: [ciliumPolicy('p', { selectors: [withLabel(account, 'default')] })] }
    const given = world(policies)
    assert.equal(selectingPolicies(gatherContext(given), pod('xwing')).length, 1)
  })
})

/* Few keys and values, so that entries meet: `z` stands for every value that nobody writes. */
const keys = ['k8s:org', 'org', 'tier', 'io.kubernetes.pod.namespace', 'io.cilium.k8s.namespace.labels.org']
const values = ['x', 'y']
const requirement = fc.oneof(
  fc.record({
    key: fc.constantFrom(...keys),
    operator: fc.constantFrom('In' as const, 'NotIn' as const),
    values: fc.constantFrom<string[]>(['x'], ['y'], ['x', 'y']),
  }),
  fc.record({
    key: fc.constantFrom(...keys),
    operator: fc.constantFrom('Exists' as const, 'DoesNotExist' as const),
  }),
)
const selector: fc.Arbitrary<LabelSelector> = fc.record({
  matchLabels: fc.dictionary(fc.constantFrom(...keys), fc.constantFrom(...values), { maxKeys: 2 }),
  matchExpressions: fc.array(requirement, { maxLength: 2 }),
})
const entry: fc.Arbitrary<Selectors> = fc.record(
  { pod: selector, namespace: selector, node: selector },
  { requiredKeys: ['pod'] },
)
const entries = fc.array(entry, { maxLength: 2 })

const anyValue = [undefined, ...values, 'z']
function labelSets(...names: readonly string[]): readonly Readonly<Record<string, string>>[] {
  return names.reduce<readonly Record<string, string>[]>(
    (sets, name) =>
      sets.flatMap((set) => anyValue.map((value) => (value === undefined ? set : { ...set, [name]: value }))),
    [{}],
  )
}
/** Every pod, namespace and node that these entries can tell apart. A namespace has a name. */
const subjects: readonly Subject[] = labelSets('org', 'tier').flatMap((podLabels) =>
  labelSets('org', 'tier', 'kubernetes.io/metadata.name')
    .filter((labels) => labels['kubernetes.io/metadata.name'] !== undefined)
    .flatMap((namespace) =>
      labelSets('org', 'tier').map((nodeLabels) => ({ pod: podLabels, namespace, node: nodeLabels })),
    ),
)

/** Of these selectors no key of a namespace or a node is a pod's namespace or a namespace's label. */
const plain = ({ pod: ofPod, ...others }: Selectors): boolean =>
  !/"io\./.test(JSON.stringify(others)) && ofPod !== undefined

test('two policies can select the same pod exactly if such a pod can exist', () => {
  const arbitrary = entries.filter((each) => each.every(plain))
  fc.assert(
    fc.property(arbitrary, arbitrary, (ours, theirs) => {
      const [some, others] = [ours.map(readPodSelection), theirs.map(readPodSelection)]
      const isSelectedBy = (of: typeof some, subject: Subject) => of.some(({ selects }) => selects(subject))
      const expected = subjects.some(
        (subject) => isSelectedBy(some, subject) && isSelectedBy(others, subject),
      )
      assert.equal(canSelectSamePod(some, others), expected)
    }),
    { numRuns: 300 },
  )
})

test('800 policies with namespaces of their own and equal destinations do not shadow each other', () => {
  const ciliumPolicies = Array.from({ length: 800 }, (_, index) =>
    ciliumPolicy(`p${index}`, {
      born: index,
      selectors: [{ namespaceSelector: { matchLabels: { tenant: `t${index}` } } }],
      destinationCIDRs: ['0.0.0.0/0'],
    }),
  )
  const statuses = explainPolicies(world({ ciliumPolicies }))
  assert.deepEqual(
    statuses.flatMap(({ conditions }) => conditions.filter(({ type }) => type === 'Shadowed')),
    [],
  )
})

test('a policy for what is not a pod shadows no other', () => {
  const hosts = ciliumPolicy('hosts', { selectors: [withLabel('reserved:host', '')] })
  const statuses = explainPolicies(world({ ciliumPolicies: [hosts, ciliumPolicy('p', { born: 1 })] }))
  assert.deepEqual(
    statuses.flatMap(({ conditions }) => conditions.filter(({ type }) => type === 'Shadowed')),
    [],
  )
})

test('the condition names the older policy that can select the same pods', () => {
  const inNamespace = (name: string, born: number, ...namespaces: string[]) =>
    ciliumPolicy(name, {
      born,
      selectors: [
        {
          podSelector: {
            matchExpressions: [{ key: 'io.kubernetes.pod.namespace', operator: 'In', values: namespaces }],
          },
        },
      ],
    })
  const statuses = explainPolicies(
    world({
      ciliumPolicies: [
        inNamespace('a', 0, 'one'),
        inNamespace('b', 1, 'two'),
        inNamespace('c', 2, 'two', 'three'),
      ],
    }),
  )
  assert.deepEqual(
    statuses.map(({ conditions }) => conditions.find(({ type }) => type === 'Shadowed')?.message),
    [
      undefined,
      undefined,
      'For pods that both policies select, traffic to 172.18.0.0/16 follows the older CiliumEgressGatewayPolicy b.',
    ],
  )
})
