import assert from 'node:assert/strict'
import { test } from 'node:test'
import { find, render, type Template, type Workload } from '../../test/support/rendered-install.ts'
import { cleanUpDaemonSet } from './agent-manifests.ts'
import { configMapData } from './configuration.ts'
import { compatibleNames, defaultNames, type Manifest } from './manifest.ts'

test('an object is applied before the objects that need it', () => {
  const kinds = [...new Set(render().map(({ kind }) => kind))]
  assert.deepEqual(kinds, [
    'CustomResourceDefinition',
    'ServiceAccount',
    'ClusterRole',
    'ClusterRoleBinding',
    'Role',
    'RoleBinding',
    'ConfigMap',
    'Deployment',
    'PodDisruptionBudget',
    'DaemonSet',
  ])
})

test('every object has the label by which uninstall and status find it', () => {
  for (const { kind, metadata } of render())
    assert.equal(metadata.labels?.['app.kubernetes.io/managed-by'], 'sallyport', `${kind} ${metadata.name}`)
})

test('the agent has the names and labels of the walkthrough if compatible names are chosen', () => {
  const agent = find(render(compatibleNames), 'DaemonSet')
  assert.equal(agent.metadata.name, 'cilium')
  assert.equal(agent.spec.template.metadata.labels['k8s-app'], 'cilium')
  assert.equal(agent.spec.template.spec.containers[0]?.name, 'cilium-agent')
  assert.equal(find(render(compatibleNames), 'Deployment').metadata.name, 'cilium-operator')
})

for (const kind of ['Deployment', 'DaemonSet']) {
  const { selector, template } = find(render(), kind).spec

  test(`the ${kind} selects its own pods`, () => {
    for (const [key, value] of Object.entries(selector.matchLabels))
      assert.equal(template.metadata.labels[key], value)
  })

  test(`the ${kind} has a volume for every mount, and a mount for every volume`, () => {
    const mounts = template.spec.containers.flatMap(({ volumeMounts }) => volumeMounts)
    assert.deepEqual(
      mounts.map(({ name }) => name),
      template.spec.volumes.map(({ name }) => name),
    )
  })

  test(`the ${kind} runs on nodes that are not Ready yet`, () => {
    for (const key of ['node.kubernetes.io/not-ready', 'node.kubernetes.io/network-unavailable'])
      assert.ok(tolerates(template, key), key)
  })

  test(`the ${kind} has resource requests for all containers, and probes for those that keep running`, () => {
    const { containers, initContainers = [] } = template.spec
    for (const { name, resources } of [...containers, ...initContainers]) {
      assert.match(resources?.requests?.cpu ?? '', /^\d+m$/, name)
      assert.match(resources?.requests?.memory ?? '', /^\d+Mi$/, name)
    }
    for (const { name, readinessProbe, livenessProbe } of containers) {
      assert.ok(readinessProbe?.httpGet ?? readinessProbe?.exec, `${name} is asked whether it is ready`)
      assert.ok(livenessProbe?.httpGet ?? livenessProbe?.exec, `${name} is started anew where it is stuck`)
    }
  })

  test(`the ${kind} restarts a container that hangs for three minutes at its start, with a termination message`, () => {
    for (const { name, startupProbe, livenessProbe, terminationMessagePolicy } of template.spec.containers) {
      assert.deepEqual(
        startupProbe?.httpGet ?? startupProbe?.exec,
        livenessProbe?.httpGet ?? livenessProbe?.exec,
      )
      const seconds = (startupProbe?.periodSeconds ?? 0) * (startupProbe?.failureThreshold ?? 0)
      assert.ok(seconds >= 60 && seconds <= 180, `${name}: ${seconds} s`)
      assert.equal(terminationMessagePolicy, 'FallbackToLogsOnError')
    }
  })

  test(`the ${kind} has no privileged container except for an init container, which alone propagates mounts`, () => {
    const { containers, initContainers = [] } = template.spec
    for (const { securityContext } of containers) assert.notEqual(securityContext.privileged, true)
    for (const { securityContext, volumeMounts } of [...containers, ...initContainers])
      assert.deepEqual(
        volumeMounts.filter(
          ({ mountPropagation }) => mountPropagation === 'Bidirectional' && !securityContext.privileged,
        ),
        [],
        'an API server refuses it',
      )
  })
}

const tolerates = ({ spec }: Template, key: string): boolean =>
  spec.tolerations.some(
    (toleration) => toleration.operator === 'Exists' && (toleration.key ?? key) === key && !toleration.effect,
  )

test('an agent tolerates every taint, and an operator leaves a drained or lost node', () => {
  const [agent, operator] = [find(render(), 'DaemonSet'), find(render(), 'Deployment')]
  for (const key of ['node.kubernetes.io/unschedulable', 'node.kubernetes.io/unreachable', 'a/taint']) {
    assert.ok(tolerates(agent.spec.template, key), key)
    assert.ok(!tolerates(operator.spec.template, key), key)
  }
  assert.ok(tolerates(operator.spec.template, 'node-role.kubernetes.io/control-plane'))
})

test('operators prefer different nodes, and a drain leaves one of them', () => {
  for (const names of [defaultNames, compatibleNames]) {
    const manifests = render(names)
    const { labels } = find(manifests, 'Deployment').spec.template.metadata
    const isOfOperators = (selector: object): boolean =>
      Object.entries(selector).every(([key, value]) => labels[key] === value) &&
      Object.keys(selector).length > 0
    const { affinity } = find(manifests, 'Deployment').spec.template.spec
    const [term, ...more] = affinity?.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution ?? []
    assert.equal(term?.podAffinityTerm.topologyKey, 'kubernetes.io/hostname')
    assert.ok(isOfOperators(term.podAffinityTerm.labelSelector.matchLabels))
    assert.deepEqual(more, [])
    const budget = find(manifests, 'PodDisruptionBudget')
    assert.ok(isOfOperators(budget.spec.selector.matchLabels))
    assert.deepEqual({ ...budget.spec, selector: undefined }, { maxUnavailable: 1, selector: undefined })
  }
})

test('the operator’s probes read the file that it writes, on its own volume', () => {
  const { containers, volumes } = find(render(), 'Deployment').spec.template.spec
  const [operator] = containers
  assert.ok(operator)
  const { command = [], readinessProbe, livenessProbe, volumeMounts } = operator
  const file = command[command.indexOf('--heartbeat-file') + 1] ?? ''
  for (const probe of [readinessProbe, livenessProbe])
    assert.ok(probe?.exec?.command.at(-1)?.includes(` ${file} `))
  const mount = volumeMounts.find(({ mountPath }) => file.startsWith(`${mountPath}/`))
  assert.ok(volumes.find(({ name }) => name === mount?.name)?.emptyDir)
})

test('the operator has the configured number of replicas', () => {
  assert.equal(find(render(defaultNames, { 'operator-replicas': '3' }), 'Deployment').spec.replicas, 3)
  assert.equal(find(render(), 'Deployment').spec.replicas, 2)
})

test('the agent mounts the container runtime’s folders from the configured paths', () => {
  const set = { 'cni-bin-path': '/home/kubernetes/bin', 'cni-conf-path': '/var/cni/net.d' }
  const cleanUp = cleanUpDaemonSet(configMapData(set)) as Workload
  for (const { spec } of [find(render(defaultNames, set), 'DaemonSet'), cleanUp]) {
    const { volumes, containers } = spec.template.spec
    const mounts = containers[0]?.volumeMounts ?? []
    const placed = ['cni-bin', 'cni-conf'].map((name) => [
      volumes.find((volume) => volume.name === name)?.hostPath?.path,
      mounts.find((mount) => mount.name === name)?.mountPath,
    ])
    assert.deepEqual(placed, [
      ['/home/kubernetes/bin', '/opt/cni/bin'],
      ['/var/cni/net.d', '/etc/cni/net.d'],
    ])
  }
})

test('the probes of agent and clean-up use the configured port', () => {
  const set = { 'health-port': '19787' }
  const portsOf = (workload: Workload): unknown[] =>
    [...JSON.stringify(workload).matchAll(/"httpGet":\{[^}]*"port":(\d+)/g)].map(([, port]) => port)
  const manifests = render(defaultNames, set)
  const agent = find(manifests, 'DaemonSet')
  assert.deepEqual(portsOf(agent), ['19787', '19787', '19787'])
  const port = { name: 'metrics', containerPort: 19787, hostPort: 19787, protocol: 'TCP' }
  assert.deepEqual(agent.spec.template.spec.containers[0]?.ports, [port])
  const configMap = manifests.find(({ kind }) => kind === 'ConfigMap') as Manifest & { readonly data: object }
  assert.equal(new Map(Object.entries(configMap.data)).get('health-port'), '19787')
  const cleanUp = cleanUpDaemonSet(configMapData(set)) as Workload
  assert.deepEqual(portsOf(cleanUp), ['19787'])
  assert.deepEqual(cleanUp.spec.template.spec.containers[0]?.command?.slice(-2), ['--stay', '19787'])
})

test('the agent mounts the CNI result cache of the other plugin only in chained mode', () => {
  const volumesWith = (set: Readonly<Record<string, string>>): string[] =>
    find(render(defaultNames, set), 'DaemonSet').spec.template.spec.volumes.map(({ name }) => name)
  assert.ok(volumesWith({ 'cni-chaining-mode': 'generic-veth' }).includes('cni-cache'))
  assert.ok(!volumesWith({}).includes('cni-cache'))
  assert.ok(volumesWith({ 'nat-log': 'true' }).includes('nat-log'))
  assert.ok(!volumesWith({}).includes('nat-log'))
})
