import { canonicalQuantity } from '../../../cluster/quantity.ts'
import { isObject, type JsonObject } from '../api-object.ts'

/** Adds the defaults of a real API server to the spec of a pod or of a pod template. */
export function fillPodSpec(spec: JsonObject): void {
  fill(spec, {
    restartPolicy: 'Always',
    terminationGracePeriodSeconds: 30,
    dnsPolicy: 'ClusterFirst',
    securityContext: {},
    schedulerName: 'default-scheduler',
  })
  /* Two names of one field. */
  const account = spec.serviceAccountName || spec.serviceAccount
  if (account) Object.assign(spec, { serviceAccountName: account, serviceAccount: account })
  for (const container of containersIn(spec)) fillContainer(container, spec.hostNetwork === true)
  for (const volume of objectsIn(spec.volumes)) fillVolume(volume)
}

export function containersIn(spec: JsonObject): JsonObject[] {
  return [...objectsIn(spec.initContainers), ...objectsIn(spec.containers)]
}

export function objectsIn(list: unknown): JsonObject[] {
  return Array.isArray(list) ? list.filter(isObject) : []
}

/** Existing values stay, even if they are empty. */
function fill(object: JsonObject, defaults: JsonObject): void {
  for (const [field, value] of Object.entries(defaults)) object[field] ??= structuredClone(value)
}

function fillContainer(container: JsonObject, usesHostNetwork: boolean): void {
  fill(container, {
    resources: {},
    terminationMessagePath: '/dev/termination-log',
    terminationMessagePolicy: 'File',
    imagePullPolicy: pullPolicy(String(container.image ?? '')),
  })
  for (const port of objectsIn(container.ports)) {
    fill(port, { protocol: 'TCP' })
    if (usesHostNetwork) fill(port, { hostPort: port.containerPort as number })
  }
  for (const variable of objectsIn(container.env))
    if (isObject(variable.valueFrom)) fillFieldSource(variable.valueFrom)
  for (const name of ['livenessProbe', 'readinessProbe', 'startupProbe']) {
    const probe = container[name]
    if (!isObject(probe)) continue
    fill(probe, { timeoutSeconds: 1, periodSeconds: 10, successThreshold: 1, failureThreshold: 3 })
    fillHandler(probe)
  }
  const lifecycle = isObject(container.lifecycle) ? container.lifecycle : {}
  for (const hook of Object.values(lifecycle)) if (isObject(hook)) fillHandler(hook)
  if (isObject(container.resources)) fillResources(container.resources)
}

/** The tag `latest`, also as the default, is pulled each time. */
function pullPolicy(image: string): string {
  if (image.includes('@')) return 'IfNotPresent'
  const tag = /:([^:/]+)$/.exec(image)?.[1] ?? 'latest'
  return tag === 'latest' ? 'Always' : 'IfNotPresent'
}

function fillHandler(handler: JsonObject): void {
  if (isObject(handler.httpGet)) fill(handler.httpGet, { path: '/', scheme: 'HTTP' })
  if (isObject(handler.grpc)) fill(handler.grpc, { service: '' })
}

function fillFieldSource(source: JsonObject): void {
  if (isObject(source.fieldRef)) fill(source.fieldRef, { apiVersion: 'v1' })
  if (isObject(source.resourceFieldRef)) fill(source.resourceFieldRef, { divisor: '0' })
}

function fillResources(resources: JsonObject): void {
  for (const name of ['limits', 'requests']) {
    const list = resources[name]
    if (!isObject(list)) continue
    for (const [key, value] of Object.entries(list)) list[key] = canonicalQuantity(String(value))
  }
}

const kindsWithMode = ['configMap', 'secret', 'downwardAPI', 'projected']

function fillVolume(volume: JsonObject): void {
  if (Object.keys(volume).every((field) => field === 'name')) volume.emptyDir = {}
  if (isObject(volume.hostPath)) fill(volume.hostPath, { type: '' })
  for (const kind of kindsWithMode) if (isObject(volume[kind])) fill(volume[kind], { defaultMode: 0o644 })
  const projected = isObject(volume.projected) ? objectsIn(volume.projected.sources) : []
  for (const source of projected)
    if (isObject(source.serviceAccountToken)) fill(source.serviceAccountToken, { expirationSeconds: 3600 })
  for (const { downwardAPI } of [volume, ...projected])
    if (isObject(downwardAPI)) for (const item of objectsIn(downwardAPI.items)) fillFieldSource(item)
}

/** Adds defaults that pods have and templates do not. */
export function fillPod(spec: JsonObject): void {
  fill(spec, { enableServiceLinks: true })
  for (const { resources } of containersIn(spec)) {
    if (!isObject(resources) || !isObject(resources.limits)) continue
    resources.requests = { ...resources.limits, ...(isObject(resources.requests) ? resources.requests : {}) }
  }
}

/** The QoS class, by which a node chooses pods to evict if it runs out of resources. */
export function qosClass(spec: JsonObject): 'Guaranteed' | 'Burstable' | 'BestEffort' {
  const lists = containersIn(spec).map(({ resources }) => {
    const { requests, limits } = isObject(resources) ? resources : {}
    return { requests: isObject(requests) ? requests : {}, limits: isObject(limits) ? limits : {} }
  })
  const asked = lists.flatMap(({ requests, limits }) => [requests, limits])
  const isCounted = (name: string): boolean => name === 'cpu' || name === 'memory'
  if (!asked.some((list) => Object.keys(list).some(isCounted))) return 'BestEffort'
  const isFull = lists.every(({ requests, limits }) =>
    ['cpu', 'memory'].every((name) => limits[name] !== undefined && requests[name] === limits[name]),
  )
  return isFull ? 'Guaranteed' : 'Burstable'
}
