import { parseQuantity } from '../../../cluster/quantity.ts'
import { badRequest, type FieldIssue } from '../../http/status-error.ts'
import { missing, wrong } from '../../schema/field-issues.ts'
import { type ApiObject, isEqual, isObject, type JsonObject } from '../api-object.ts'
import { containersIn, objectsIn } from './pod-defaults.ts'

const label = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/
const labelRule = `a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')`

const unsupported = (field: string, value: unknown, ...known: readonly string[]): FieldIssue => ({
  field,
  reason: 'FieldValueNotSupported',
  message: `Unsupported value: ${JSON.stringify(value)}: supported values: ${known.map((each) => JSON.stringify(each)).join(', ')}`,
})
const duplicate = (field: string, value: unknown): FieldIssue => ({
  field,
  reason: 'FieldValueDuplicate',
  message: `Duplicate value: ${JSON.stringify(value)}`,
})
const unknown = (field: string, value: unknown): FieldIssue => ({
  field,
  reason: 'FieldValueNotFound',
  message: `Not found: ${JSON.stringify(value)}`,
})
const forbidden = (field: string, why: string): FieldIssue => ({
  field,
  reason: 'FieldValueForbidden',
  message: `Forbidden: ${why}`,
})

const restartPolicies = ['Always', 'OnFailure', 'Never'] as const

/** The issues that a real API server finds in the spec of a pod or of a template. `at` is the field of the spec. */
export function podSpecIssues(spec: JsonObject, at = 'spec'): FieldIssue[] {
  const policy = spec.restartPolicy
  return [
    ...containerIssues(spec, 'containers', at),
    ...(objectsIn(spec.initContainers).length > 0 ? containerIssues(spec, 'initContainers', at) : []),
    ...(policy === undefined || restartPolicies.some((each) => each === policy)
      ? []
      : [unsupported(`${at}.restartPolicy`, policy, ...restartPolicies)]),
    ...tolerationIssues(spec, at),
  ]
}

function containerIssues(spec: JsonObject, list: string, at: string): FieldIssue[] {
  const containers = spec[list]
  const field = `${at}.${list}`
  if (!Array.isArray(containers) || containers.length === 0) return [missing(field)]
  const names = containers.map((each) => (isObject(each) ? each.name : undefined))
  return containers.flatMap((container, index) => {
    const here = `${field}[${index}]`
    if (!isObject(container)) return [wrong(here, container, 'must be an object')]
    const { name, image } = container
    const issues: FieldIssue[] = []
    if (!name) issues.push(missing(`${here}.name`))
    else if (!label.test(String(name)) || String(name).length > 63)
      issues.push(wrong(`${here}.name`, name, labelRule))
    else if (names.indexOf(name) !== index) issues.push(duplicate(`${here}.name`, name))
    if (!image) issues.push(missing(`${here}.image`))
    return [
      ...issues,
      ...mountIssues(spec, container, here),
      ...portIssues(spec, container, here),
      ...resourceIssues(container, here),
      ...securityIssues(container, here),
    ]
  })
}

function mountIssues(spec: JsonObject, { volumeMounts }: JsonObject, here: string): FieldIssue[] {
  const volumes = new Set(objectsIn(spec.volumes).map(({ name }) => name))
  const paths = objectsIn(volumeMounts).map(({ mountPath }) => mountPath)
  return objectsIn(volumeMounts).flatMap(({ name, mountPath }, index) => {
    const mount = `${here}.volumeMounts[${index}]`
    return [
      ...(volumes.has(name) ? [] : [unknown(`${mount}.name`, name)]),
      ...(mountPath ? [] : [missing(`${mount}.mountPath`)]),
      ...(paths.indexOf(mountPath) === index
        ? []
        : [wrong(`${mount}.mountPath`, mountPath, 'must be unique')]),
    ]
  })
}

const portRule = 'must be between 1 and 65535, inclusive'
const isPort = (port: unknown): boolean => Number.isInteger(port) && Number(port) > 0 && Number(port) < 65536

function portIssues(spec: JsonObject, { ports }: JsonObject, here: string): FieldIssue[] {
  return objectsIn(ports).flatMap(({ containerPort, hostPort, protocol = 'TCP' }, index) => {
    const port = `${here}.ports[${index}]`
    const issues: FieldIssue[] = []
    if (containerPort === undefined) issues.push(missing(`${port}.containerPort`))
    else if (!isPort(containerPort)) issues.push(wrong(`${port}.containerPort`, containerPort, portRule))
    if (hostPort !== undefined && hostPort !== 0 && !isPort(hostPort))
      issues.push(wrong(`${port}.hostPort`, hostPort, portRule))
    else if (spec.hostNetwork === true && hostPort !== containerPort && isPort(containerPort))
      issues.push(
        wrong(`${port}.hostPort`, hostPort, 'must match `containerPort` when `hostNetwork` is true'),
      )
    if (!['TCP', 'UDP', 'SCTP'].includes(String(protocol)))
      issues.push(unsupported(`${port}.protocol`, protocol, 'SCTP', 'TCP', 'UDP'))
    return issues
  })
}

function resourceIssues({ resources }: JsonObject, here: string): FieldIssue[] {
  if (!isObject(resources)) return []
  const { requests, limits } = resources
  return Object.entries(isObject(requests) ? requests : {}).flatMap(([name, request]) => {
    const limit = isObject(limits) ? limits[name] : undefined
    if (limit === undefined || parseQuantity(String(request)) <= parseQuantity(String(limit))) return []
    return [
      wrong(`${here}.resources.requests`, request, `must be less than or equal to ${name} limit of ${limit}`),
    ]
  })
}

function securityIssues({ securityContext }: JsonObject, here: string): FieldIssue[] {
  if (!isObject(securityContext)) return []
  const { privileged, allowPrivilegeEscalation } = securityContext
  if (privileged !== true || allowPrivilegeEscalation !== false) return []
  const why = 'cannot set `allowPrivilegeEscalation` to false and `privileged` to true'
  return [wrong(`${here}.securityContext`, securityContext, why)]
}

function tolerationIssues({ tolerations }: JsonObject, at: string): FieldIssue[] {
  return objectsIn(tolerations).flatMap(({ key, operator = 'Equal', value, effect }, index) => {
    const field = `${at}.tolerations[${index}]`
    const issues: FieldIssue[] = []
    if (operator !== 'Equal' && operator !== 'Exists')
      issues.push(unsupported(`${field}.operator`, operator, 'Equal', 'Exists'))
    else if (!key && operator !== 'Exists')
      issues.push(
        wrong(
          `${field}.operator`,
          operator,
          'operator must be Exists when `key` is empty, which means "match all values and all keys"',
        ),
      )
    else if (operator === 'Exists' && value)
      issues.push(wrong(`${field}.operator`, value, "value must be empty when `operator` is 'Exists'"))
    const effects = ['NoSchedule', 'PreferNoSchedule', 'NoExecute']
    if (effect && !effects.includes(String(effect)))
      issues.push(unsupported(`${field}.effect`, effect, ...effects))
    return issues
  })
}

const quantity = /^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$/

/** Throws if a quantity cannot be parsed. */
export function requireQuantities(kind: string, spec: JsonObject): void {
  for (const { resources } of containersIn(spec))
    for (const list of ['requests', 'limits']) {
      const values = isObject(resources) && isObject(resources[list]) ? Object.values(resources[list]) : []
      if (values.some((value) => !quantity.test(String(value))))
        throw badRequest(
          `${kind} in version "v1" cannot be handled as a ${kind}: quantities must match the regular expression '${quantity.source}'`,
        )
    }
}

const settledRule =
  'pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)'

/** Most fields of a pod's spec cannot change, because a kubelet does not follow changes. */
export function podChangeIssues(live: ApiObject, object: ApiObject): FieldIssue[] {
  const [before, after] = [live, object].map(({ spec }) => objectsIn(spec?.tolerations))
  const isKept = (before ?? []).every((old) =>
    (after ?? []).some((each) => isEqual(withoutSeconds(old), withoutSeconds(each))),
  )
  return [
    ...(isKept
      ? []
      : [
          forbidden(
            'spec.tolerations',
            'existing toleration can not be modified except its tolerationSeconds',
          ),
        ]),
    ...(isEqual(settled(live), settled(object)) ? [] : [forbidden('spec', settledRule)]),
  ]
}

const withoutSeconds = ({ tolerationSeconds: _, ...rest }: JsonObject): JsonObject => rest

function settled({ spec = {} }: ApiObject): JsonObject {
  const { activeDeadlineSeconds: _, tolerations: __, containers, initContainers, ...rest } = spec
  const withoutImages = (list: unknown): JsonObject[] =>
    objectsIn(list).map(({ image: ___, ...container }) => container)
  return { ...rest, containers: withoutImages(containers), initContainers: withoutImages(initContainers) }
}
