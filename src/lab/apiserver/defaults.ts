import { type ApiObject, isObject, type JsonObject } from './api-object.ts'
import type { ResourceKind } from './resources.ts'

/** What the real API server fills in, as far as users and the lab's own parts see it. */
export function fillDefaults(kind: ResourceKind, object: ApiObject): void {
  switch (kind.kind) {
    case 'Pod':
      fillPod(object)
      return
    case 'Namespace':
      object.spec = { finalizers: ['kubernetes'], ...object.spec }
      object.status = { phase: 'Active', ...object.status }
      object.metadata.labels = {
        ...object.metadata.labels,
        'kubernetes.io/metadata.name': object.metadata.name,
      }
      return
    case 'Deployment':
    case 'ReplicaSet':
    case 'StatefulSet':
      object.spec = { replicas: 1, ...object.spec }
      return
    case 'Secret':
      fillSecret(object)
      return
    case 'CustomResourceDefinition':
      fillDefinition(object)
      return
    default:
  }
}

const tolerationOf = (key: string): JsonObject => ({
  key,
  operator: 'Exists',
  effect: 'NoExecute',
  tolerationSeconds: 300,
})

function fillPod(pod: ApiObject): void {
  const spec: JsonObject = {
    restartPolicy: 'Always',
    serviceAccountName: 'default',
    terminationGracePeriodSeconds: 30,
    schedulerName: 'default-scheduler',
    enableServiceLinks: true,
    dnsPolicy: 'ClusterFirst',
    ...pod.spec,
  }
  const tolerations = Array.isArray(spec.tolerations) ? spec.tolerations.filter(isObject) : []
  const missing = ['node.kubernetes.io/not-ready', 'node.kubernetes.io/unreachable'].filter(
    (key) =>
      !tolerations.some(
        (toleration) =>
          toleration.operator === 'Exists' && (toleration.key === key || toleration.key === undefined),
      ),
  )
  spec.tolerations = [...tolerations, ...missing.map(tolerationOf)]
  for (const container of Array.isArray(spec.containers) ? spec.containers.filter(isObject) : [])
    container.imagePullPolicy ??= 'IfNotPresent'
  pod.spec = spec
  pod.status = { phase: 'Pending', ...pod.status }
}

/** `stringData` is for writing: it is kept as `data`. */
function fillSecret(secret: ApiObject): void {
  secret.type ??= 'Opaque'
  if (!isObject(secret.stringData)) return
  const encoded = Object.entries(secret.stringData).map(([key, value]) => [
    key,
    Buffer.from(String(value)).toString('base64'),
  ])
  secret.data = { ...(isObject(secret.data) ? secret.data : {}), ...Object.fromEntries(encoded) }
  delete secret.stringData
}

function fillDefinition(definition: ApiObject): void {
  const names = (definition.spec?.names ?? {}) as JsonObject
  const now = new Date().toISOString()
  definition.status = {
    acceptedNames: names,
    storedVersions: (Array.isArray(definition.spec?.versions) ? definition.spec.versions : [])
      .filter(isObject)
      .filter(({ storage }) => storage)
      .map(({ name }) => name),
    conditions: ['NamesAccepted', 'Established'].map((type) => ({
      type,
      status: 'True',
      reason: type === 'Established' ? 'InitialNamesAccepted' : 'NoConflicts',
      message: '',
      lastTransitionTime: now,
    })),
  }
}
