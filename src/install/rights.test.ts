import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { find, render, type Workload } from '../../test/support/rendered-install.ts'
import { cleanUpDaemonSet } from './agent-manifests.ts'
import { configMapData } from './configuration.ts'
import { compatibleNames, defaultNames } from './manifest.ts'

interface Rule {
  readonly apiGroups: readonly string[]
  readonly resources: readonly string[]
  readonly resourceNames?: readonly string[]
  readonly verbs: readonly string[]
}

const rulesOf = (name: string): readonly Rule[] =>
  render()
    .filter(({ kind, metadata }) => /^(Cluster)?Role$/.test(kind) && metadata.name === name)
    .flatMap((manifest) => manifest.rules as readonly Rule[])

/** Each right of a role, as `verb group/resource`. */
function rights(name: string): string[] {
  return rulesOf(name).flatMap(({ apiGroups, resources, verbs }) =>
    apiGroups.flatMap((group) =>
      resources.flatMap((resource) => verbs.map((verb) => `${verb} ${group}/${resource}`)),
    ),
  )
}

test('the agent can write only the status of EgressNodes', () => {
  const writes = rights('sallyport-agent').filter((right) => !/^(get|list|watch) /.test(right))
  assert.deepEqual(writes, ['patch sallyport.dev/egressnodes/status'])
})

test('no role has a wildcard or a right on secrets', () => {
  for (const name of ['sallyport-agent', 'sallyport-operator'])
    for (const right of rights(name)) assert.doesNotMatch(right, /\*|secrets/)
})

test('the operator has rights on leases only in its own namespace', () => {
  const role = render().find(
    ({ kind, rules }) => kind === 'ClusterRole' && JSON.stringify(rules).includes('leases'),
  )
  assert.equal(role, undefined)
  assert.ok(rights('sallyport-operator').includes('update coordination.k8s.io/leases'))
})

test('the operator can read and update only its own lease', () => {
  const ofLeases = rulesOf('sallyport-operator').filter(({ resources }) => resources.includes('leases'))
  const ofAny = ofLeases.filter(({ resourceNames }) => resourceNames === undefined)
  assert.deepEqual(
    ofAny.flatMap(({ verbs }) => verbs),
    ['create'],
  )
  const names = ofLeases.flatMap(({ resourceNames = [] }) => resourceNames)
  assert.deepEqual(names, ['sallyport-operator'])
})

test('the agent can read NetworkPolicies in both modes, Services and their endpoints only if it translates them', () => {
  const may = (set: Readonly<Record<string, string>>, resource: string): boolean =>
    render(defaultNames, set).some(
      ({ kind, metadata, rules }) =>
        kind === 'ClusterRole' &&
        metadata.name === 'sallyport-agent' &&
        JSON.stringify(rules).includes(resource),
    )
  for (const resource of ['networkpolicies', 'services', 'endpointslices']) {
    assert.ok(may({ 'cni-chaining-mode': 'generic-veth' }, resource))
    assert.ok(may({ 'kube-proxy-replacement': 'strict' }, resource))
    assert.equal(may({}, resource), resource === 'networkpolicies')
  }
})

test('docs explain each capability of the agent', () => {
  const explained = readFileSync(new URL('../../docs/security.md', import.meta.url), 'utf8')
  const { add = [], drop } =
    find(render(), 'DaemonSet').spec.template.spec.containers[0]?.securityContext.capabilities ?? {}
  assert.deepEqual(drop, ['ALL'])
  assert.ok(add.length > 0)
  for (const capability of add) assert.match(explained, new RegExp(`\\b${capability}\\b`))
})

test('no container has a capability that hardened hosts may lack and no supported kernel needs', () => {
  for (const { spec } of [find(render(), 'DaemonSet'), cleanUpDaemonSet(configMapData({})) as Workload])
    for (const { name, securityContext } of spec.template.spec.containers)
      assert.ok(!securityContext.capabilities?.add?.includes('SYS_RESOURCE'), name)
})

test('AppArmor and SELinux do not confine containers that use the node’s files, with default and compatible names', () => {
  for (const names of [defaultNames, compatibleNames])
    for (const daemonSet of [
      find(render(names), 'DaemonSet'),
      cleanUpDaemonSet(configMapData({})) as Workload,
    ]) {
      const { metadata, spec } = daemonSet.spec.template
      for (const { name, securityContext } of spec.containers) {
        assert.deepEqual(securityContext.appArmorProfile, { type: 'Unconfined' })
        assert.equal(securityContext.seLinuxOptions?.type, 'spc_t')
        const annotation = `container.apparmor.security.beta.kubernetes.io/${name}`
        assert.equal(metadata.annotations?.[annotation], 'unconfined')
      }
    }
})
