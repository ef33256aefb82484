import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cleanUpDaemonSet } from './agent-manifests.ts'
import { configMapData } from './configuration.ts'
import { compatibleNames, defaultNames } from './manifest.ts'
import { renderInstall } from './manifests.ts'

/*
 * What a real API server (1.36) added to objects that left it out, by the kind of object and the path of the field. `*` is any
 * item of a list. A field counts only where what holds it is there: a pod without a configMap volume gets no defaultMode.
 */
const pod = [
  'restartPolicy',
  'terminationGracePeriodSeconds',
  'dnsPolicy',
  'schedulerName',
  'volumes.*.configMap.defaultMode',
  'volumes.*.secret.defaultMode',
  'volumes.*.downwardAPI.defaultMode',
  'volumes.*.downwardAPI.items.*.fieldRef.apiVersion',
  'volumes.*.projected.defaultMode',
  'volumes.*.projected.sources.*.serviceAccountToken.expirationSeconds',
  'volumes.*.hostPath.type',
  ...['containers.*', 'initContainers.*'].flatMap((container) =>
    [
      'resources',
      'terminationMessagePath',
      'terminationMessagePolicy',
      'imagePullPolicy',
      'ports.*.protocol',
      'ports.*.hostPort',
      'env.*.valueFrom.fieldRef.apiVersion',
      'env.*.valueFrom.resourceFieldRef.divisor',
      ...['livenessProbe', 'readinessProbe', 'startupProbe'].flatMap((probe) =>
        [
          'httpGet.path',
          'httpGet.scheme',
          'timeoutSeconds',
          'periodSeconds',
          'successThreshold',
          'failureThreshold',
        ].map((field) => `${probe}.${field}`),
      ),
    ].map((field) => `${container}.${field}`),
  ),
].map((field) => `spec.template.spec.${field}`)
const filledIn: Readonly<Record<string, readonly string[]>> = {
  CustomResourceDefinition: ['spec.conversion'],
  Deployment: ['spec.replicas', 'spec.strategy.type', 'spec.strategy.rollingUpdate.maxUnavailable', 'spec.strategy.rollingUpdate.maxSurge', 'spec.strategy', 'spec.revisionHistoryLimit', 'spec.progressDeadlineSeconds', ...pod],
  DaemonSet: ['spec.updateStrategy', 'spec.updateStrategy.rollingUpdate.maxUnavailable', 'spec.updateStrategy.rollingUpdate.maxSurge', 'spec.revisionHistoryLimit', ...pod],
  Service: ['spec.ports.*.protocol', 'spec.type', 'spec.sessionAffinity', 'spec.internalTrafficPolicy'],
  ClusterRoleBinding: ['roleRef.apiGroup'],
  RoleBinding: ['roleRef.apiGroup'],
} // biome-ignore format: one a line

/*
 * Left out on purpose. An empty object (securityContext of a pod) owns nothing. serviceAccount repeats serviceAccountName by an
 * old name. Address families of a Service are the cluster's to choose. The server annotates DaemonSets for itself.
 */

/** Places where this path is missing although what holds it is there. */
function missing(value: unknown, names: readonly string[], at: string): string[] {
  const [name = '', ...rest] = names
  if (value === undefined) return []
  if (name === '*')
    return (value as readonly unknown[]).flatMap((each, index) => missing(each, rest, `${at}[${index}]`))
  const next = (value as Readonly<Record<string, unknown>>)[name]
  if (rest.length > 0) return missing(next, rest, `${at}.${name}`)
  return next === undefined ? [`${at}.${name}`] : []
}

for (const [what, set] of [
  ['the defaults', {}],
  ['chained mode', { 'cni-chaining-mode': 'generic-veth' }],
  ['a ServiceMonitor', { 'service-monitor': 'true', 'health-address': '::' }],
] as const)
  for (const names of [defaultNames, compatibleNames])
    test(`the manifests of an install with ${what} leave no default for an API server to add (${names.agent})`, () => {
      const data = configMapData(set)
      const manifests = [...renderInstall(data, names), cleanUpDaemonSet(data)]
      const found = manifests.flatMap((manifest) =>
        (filledIn[manifest.kind] ?? []).flatMap((path) =>
          missing(manifest, path.split('.'), `${manifest.kind} ${manifest.metadata.name}`),
        ),
      )
      assert.deepEqual(found, [])
    })

test('the check finds a missing field, and only where an API server would add it', () => {
  const object = { spec: { ports: [{ protocol: 'TCP' }, {}] } }
  assert.deepEqual(missing(object, ['spec', 'ports', '*', 'protocol'], 'x'), ['x.spec.ports[1].protocol'])
  assert.deepEqual(missing(object, ['spec', 'volumes', '*', 'configMap'], 'x'), [])
})
