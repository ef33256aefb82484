import { StatusError } from '../../http/status-error.ts'
import { type ApiObject, isObject, type JsonObject } from '../api-object.ts'
import type { Store } from '../store.ts'
import { randomSuffix } from '../writes/random-suffix.ts'
import { containersIn, objectsIn, qosClass } from './pod-defaults.ts'

/** Changes a new pod like the admission plugins of a real API server with default settings, or throws their error. */
export function admitPod(store: Store, pod: ApiObject, warn: (text: string) => void): void {
  const spec = pod.spec ?? {}
  pod.spec = spec
  followAppArmorAnnotations(pod, spec, warn)
  addServiceAccount(store, pod, spec)
  addPriority(store, pod, spec)
  requireRuntimeClass(store, pod, spec)
  addTolerations(spec)
  const gates = objectsIn(spec.schedulingGates)
  pod.status = {
    phase: 'Pending',
    qosClass: qosClass(spec),
    ...(gates.length === 0 ? {} : { conditions: [gated] }),
  }
}

function refused(pod: ApiObject, why: string): StatusError {
  const { name, generateName } = pod.metadata
  const shown = name || String(generateName ?? '')
  return new StatusError(403, 'Forbidden', `pods "${shown}" is forbidden: ${why}`, {
    name: shown,
    kind: 'pods',
  })
}

const tokenPath = '/var/run/secrets/kubernetes.io/serviceaccount'
const tokenVolume = 'kube-api-access-'

/** Whom the pod speaks for, and the volume by which it can. */
function addServiceAccount(store: Store, pod: ApiObject, spec: JsonObject): void {
  const account = String(spec.serviceAccountName || 'default')
  Object.assign(spec, { serviceAccountName: account, serviceAccount: account })
  const { namespace } = pod.metadata
  const known = store.get('/serviceaccounts', `${namespace}/${account}`)
  if (known === undefined)
    throw refused(
      pod,
      `error looking up service account ${namespace}/${account}: serviceaccount "${account}" not found`,
    )
  const secrets = objectsIn(known.imagePullSecrets)
  if (objectsIn(spec.imagePullSecrets).length === 0 && secrets.length > 0)
    spec.imagePullSecrets = secrets.map(({ name }) => ({ name: name as string }))
  if (spec.automountServiceAccountToken ?? known.automountServiceAccountToken ?? true) mountToken(spec)
}

function mountToken(spec: JsonObject): void {
  const volumes = objectsIn(spec.volumes)
  const present = volumes.map(({ name }) => String(name)).find((name) => name.startsWith(tokenVolume))
  const name = present ?? `${tokenVolume}${randomSuffix()}`
  let isUsed = false
  for (const container of containersIn(spec)) {
    const mounts = objectsIn(container.volumeMounts)
    if (mounts.some(({ mountPath }) => mountPath === tokenPath)) continue
    isUsed = true
    container.volumeMounts = [...mounts, { name, readOnly: true, mountPath: tokenPath }]
  }
  if (isUsed && present === undefined) spec.volumes = [...volumes, { name, projected: tokenSources }]
}

/** A token lasts an hour, and as long as a kubelet takes to notice that it needs another. */
const tokenSources = {
  sources: [
    { serviceAccountToken: { expirationSeconds: 3607, path: 'token' } },
    { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
    {
      downwardAPI: {
        items: [{ path: 'namespace', fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.namespace' } }],
      },
    },
  ],
  defaultMode: 0o644,
}

function addPriority(store: Store, pod: ApiObject, spec: JsonObject): void {
  const classes = [...store.values('scheduling.k8s.io/priorityclasses')]
  const asked = spec.priorityClassName
  const found = asked
    ? classes.find(({ metadata }) => metadata.name === asked)
    : classes.find(({ globalDefault }) => globalDefault === true)
  if (asked && found === undefined) throw refused(pod, `no PriorityClass with name ${asked} was found`)
  const priority = typeof found?.value === 'number' ? found.value : 0
  if (spec.priority !== undefined && spec.priority !== priority)
    throw refused(
      pod,
      `the integer value of priority (${spec.priority}) must not be provided in pod spec; priority admission controller computed ${priority} from the given PriorityClass name`,
    )
  const preemptionPolicy = found?.preemptionPolicy ?? 'PreemptLowerPriority'
  Object.assign(spec, { priority, preemptionPolicy })
  if (found !== undefined) spec.priorityClassName = found.metadata.name
}

function requireRuntimeClass(store: Store, pod: ApiObject, { runtimeClassName }: JsonObject): void {
  if (!runtimeClassName || store.get('node.k8s.io/runtimeclasses', String(runtimeClassName)) !== undefined)
    return
  throw refused(pod, `pod rejected: RuntimeClass "${runtimeClassName}" not found`)
}

/** A pod tolerates an unreachable node for five minutes, unless it says otherwise. */
function addTolerations(spec: JsonObject): void {
  const tolerations = objectsIn(spec.tolerations)
  const isTold = (key: string): boolean =>
    tolerations.some(
      (each) => (!each.key || each.key === key) && (!each.effect || each.effect === 'NoExecute'),
    )
  const missing = ['node.kubernetes.io/not-ready', 'node.kubernetes.io/unreachable']
    .filter((key) => !isTold(key))
    .map((key) => ({ key, operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 300 }))
  spec.tolerations = [...tolerations, ...missing]
}

const gated = {
  type: 'PodScheduled',
  status: 'False',
  lastProbeTime: null,
  lastTransitionTime: null,
  reason: 'SchedulingGated',
  message: 'Scheduling is blocked due to non-empty scheduling gates',
}

const appArmorAnnotation = 'container.apparmor.security.beta.kubernetes.io/'

/** This was an annotation before Kubernetes 1.30. It is a field now, and the annotation still works. */
function followAppArmorAnnotations(pod: ApiObject, spec: JsonObject, warn: (text: string) => void): void {
  for (const [key, value] of Object.entries(pod.metadata.annotations ?? {})) {
    if (!key.startsWith(appArmorAnnotation)) continue
    warn(`metadata.annotations[${key}]: deprecated since v1.30; use the "appArmorProfile" field instead`)
    const container = containersIn(spec).find(({ name }) => name === key.slice(appArmorAnnotation.length))
    if (container === undefined) continue
    const security = isObject(container.securityContext) ? container.securityContext : {}
    container.securityContext = { appArmorProfile: appArmorProfile(value), ...security }
  }
}

function appArmorProfile(value: string): JsonObject {
  if (value === 'unconfined') return { type: 'Unconfined' }
  if (value === 'runtime/default') return { type: 'RuntimeDefault' }
  return { type: 'Localhost', localhostProfile: value.replace(/^localhost\//, '') }
}
