import assert from 'node:assert/strict'
import { test } from 'node:test'
import { configMapData } from '../configuration.ts'
import { defaultNames, type Manifest } from '../manifest.ts'
import { renderInstall } from '../manifests.ts'
import { monitorConflict } from '../monitor-manifests.ts'
import { type Assignment, assignmentsIn, parseAssignments } from './assignments.ts'
import { settings } from './settings.ts'
import { canonicalJson, parseJson } from './structured-value.ts'

interface Workload extends Manifest {
  readonly spec: {
    readonly selector: { readonly matchLabels: Readonly<Record<string, string>> }
    readonly template: {
      readonly metadata: {
        readonly labels: Readonly<Record<string, string>>
        readonly annotations: Readonly<Record<string, string>>
      }
      readonly spec: Readonly<Record<string, unknown>> & {
        readonly initContainers?: readonly Container[]
        readonly containers: readonly Container[]
      }
    }
  }
}
interface Container {
  readonly name: string
  readonly image: string
  readonly imagePullPolicy: string
  readonly resources: object
}

function dataOf(assignments: readonly Assignment[]): Record<string, string> {
  const parsed = parseAssignments(assignments)
  assert.ok(parsed.ok, parsed.ok ? '' : parsed.issues.join())
  return configMapData(parsed.value)
}
const workload = (kind: 'DaemonSet' | 'Deployment', ...assignments: Assignment[]): Workload =>
  renderInstall(dataOf(assignments), defaultNames).find((each) => each.kind === kind) as Workload

test('the default of a structured setting is canonical JSON, so that Helm and install render the same', () => {
  for (const { kind, fallback, path } of settings.filter((each) => /^(map|object|objects)$/.test(each.kind)))
    assert.equal(canonicalJson(parseJson(fallback) ?? ''), fallback, `${path} (${kind})`)
})

for (const [kind, prefix] of [
  ['DaemonSet', ''],
  ['Deployment', 'operator.'],
] as const)
  test(`the ${kind} has the resources, scheduling and labels of its settings`, () => {
    const affinity = '{"nodeAffinity":{}}'
    const { template, selector } = workload(
      kind,
      [`${prefix}resources`, '{"limits":{"memory":"1Gi"},"requests":{"cpu":null}}'],
      [`${prefix}nodeSelector.kubernetes\\.io/os`, 'linux'],
      [`${prefix}tolerations`, '[{"key":"a","operator":"Exists"}]'],
      [`${prefix}affinity`, affinity],
      [`${prefix}priorityClassName`, 'mine'],
      [`${prefix}podLabels`, '{"team":"net"}'],
      [`${prefix}podAnnotations.note`, 'kept'],
      ['image.pullSecrets', 'first,second'],
      ['image.pullPolicy', 'Always'],
    ).spec
    const memory = kind === 'DaemonSet' ? '120Mi' : '100Mi'
    for (const container of template.spec.containers)
      assert.deepEqual(container.resources, { limits: { memory: '1Gi' }, requests: { memory } })
    for (const each of [...(template.spec.initContainers ?? []), ...template.spec.containers])
      assert.equal(each.imagePullPolicy, 'Always', each.name)
    const { nodeSelector, tolerations, priorityClassName, imagePullSecrets } = template.spec
    assert.deepEqual(nodeSelector, { 'kubernetes.io/os': 'linux' })
    assert.deepEqual(tolerations, [{ key: 'a', operator: 'Exists' }])
    assert.deepEqual(template.spec.affinity, JSON.parse(affinity))
    assert.equal(priorityClassName, 'mine')
    assert.deepEqual(imagePullSecrets, [{ name: 'first' }, { name: 'second' }])
    assert.equal(template.metadata.labels.team, 'net')
    assert.equal(template.metadata.annotations.note, 'kept')
    assert.ok(!('team' in selector.matchLabels))
  })

test('podLabels refuses the labels by which a workload selects its pods', () => {
  assert.deepEqual(parseAssignments(assignmentsIn(['podLabels.k8s-app=other'])), {
    ok: false,
    issues: ['podLabels.k8s-app: k8s-app is reserved for Sallyport'],
  })
})

test('a structured setting of the wrong shape is refused with its path and the reason', () => {
  const wrong: Assignment[] = [
    ['tolerations', '{"key":"a"}'],
    ['operator.tolerations', '[1]'],
    ['nodeSelector', '{"a":1}'],
    ['affinity', 'none'],
  ]
  assert.deepEqual(parseAssignments(wrong), {
    ok: false,
    issues: [
      'tolerations: {"key":"a"} is not a list of objects',
      'operator.tolerations: 1 is not an object',
      'nodeSelector: the value of a is not a string: put it in quotes',
      'affinity: none is not JSON',
    ],
  })
})

test('an upgrade merges a map into the installed one', () => {
  const parsed = parseAssignments([['nodeSelector.b', '2']], { 'agent-node-selector': '{"a":"1"}' })
  assert.deepEqual(parsed, { ok: true, value: { 'agent-node-selector': '{"a":"1","b":"2"}' } })
})

test('a ServiceMonitor selects the Service of the agents, and needs an address that Prometheus reaches', () => {
  const data = dataOf([
    ['serviceMonitor.enabled', 'true'],
    ['serviceMonitor.labels', '{"release":"prometheus"}'],
    ['health.address', '0.0.0.0'],
  ])
  const manifests = renderInstall(data, defaultNames)
  const find = (kind: string) => manifests.find((each) => each.kind === kind)
  const monitor = find('ServiceMonitor') as Manifest & { spec: { selector: { matchLabels: object } } }
  assert.equal(monitor.metadata.labels?.release, 'prometheus')
  const labels = Object.entries(find('Service')?.metadata.labels ?? {}).map(
    ([key, value]) => `${key}=${value}`,
  )
  for (const [key, value] of Object.entries(monitor.spec.selector.matchLabels))
    assert.ok(labels.includes(`${key}=${value}`))
  assert.equal(monitorConflict(data), undefined)
  assert.match(monitorConflict({ ...data, 'health-address': '127.0.0.1' }) ?? '', /cannot reach/)
})

test('kubectl exec enters the container with the sallyport command by default', () => {
  const key = 'kubectl.kubernetes.io/default-container'
  for (const kind of ['DaemonSet', 'Deployment'] as const) {
    const { metadata, spec } = workload(kind).spec.template
    assert.equal(metadata.annotations[key], spec.containers[0]?.name)
  }
})
