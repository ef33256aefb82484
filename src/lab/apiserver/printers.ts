import { type ApiObject, isObject, type JsonObject } from './api-object.ts'
import type { Column } from './resources.ts'

/** What kubectl prints of a built-in kind: cells by the server, headers and widths by the client. */
export interface Printer {
  readonly columns: readonly Column[]
  readonly cells: (object: ApiObject, nowMs: number) => readonly unknown[]
}

const column = (name: string, type = 'string', priority = 0, format = ''): Column => ({
  name,
  type,
  priority,
  format,
  jsonPath: '',
  description: '',
})
export const nameColumn = column('Name', 'string', 0, 'name')

/** As Kubernetes shortens ages: 119s, 9m59s, 179m, 7h59m, 47h, 7d23h, 729d. */
export function shortDuration(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000))
  if (seconds < 120) return `${seconds}s`
  const minutes = Math.floor(seconds / 60)
  const pair = (large: number, largeUnit: string, small: number, smallUnit: string): string =>
    small === 0 ? `${large}${largeUnit}` : `${large}${largeUnit}${small}${smallUnit}`
  if (minutes < 10) return pair(minutes, 'm', seconds % 60, 's')
  if (minutes < 180) return `${minutes}m`
  const hours = Math.floor(minutes / 60)
  if (hours < 8) return pair(hours, 'h', minutes % 60, 'm')
  if (hours < 48) return `${hours}h`
  const days = Math.floor(hours / 24)
  if (days < 8) return pair(days, 'd', hours % 24, 'h')
  if (days < 730) return `${days}d`
  const years = Math.floor(days / 365)
  return years < 8 ? pair(years, 'y', days % 365, 'd') : `${years}y`
}

export function since(time: unknown, nowMs: number): string {
  return typeof time === 'string' ? shortDuration(nowMs - Date.parse(time)) : '<unknown>'
}

const at = (object: unknown, ...path: readonly string[]): unknown =>
  path.reduce<unknown>((value, part) => (isObject(value) ? value[part] : undefined), object)
const listAt = (object: unknown, ...path: readonly string[]): JsonObject[] => {
  const value = at(object, ...path)
  return Array.isArray(value) ? value.filter(isObject) : []
}
const textAt = (object: unknown, fallback: string, ...path: readonly string[]): string => {
  const value = at(object, ...path)
  return value === undefined || value === null || value === '' ? fallback : String(value)
}

function nodeCells(node: ApiObject, nowMs: number): readonly unknown[] {
  const ready = listAt(node, 'status', 'conditions').find(({ type }) => type === 'Ready')
  const state = ready === undefined ? 'Unknown' : ready.status === 'True' ? 'Ready' : 'NotReady'
  const roles = Object.keys(node.metadata.labels ?? {})
    .filter((label) => label.startsWith('node-role.kubernetes.io/'))
    .map((label) => label.slice(24))
  const address = (type: string): string =>
    String(listAt(node, 'status', 'addresses').find((each) => each.type === type)?.address ?? '<none>')
  const info = (field: string): string => textAt(node, '<unknown>', 'status', 'nodeInfo', field)
  return [
    node.metadata.name,
    at(node, 'spec', 'unschedulable') === true ? `${state},SchedulingDisabled` : state,
    roles.sort().join(',') || '<none>',
    since(node.metadata.creationTimestamp, nowMs),
    textAt(node, '', 'status', 'nodeInfo', 'kubeletVersion'),
    address('InternalIP'),
    address('ExternalIP'),
    info('osImage'),
    info('kernelVersion'),
    info('containerRuntimeVersion'),
  ]
}

function podState(pod: ApiObject): string {
  if (pod.metadata.deletionTimestamp !== undefined) return 'Terminating'
  for (const status of listAt(pod, 'status', 'containerStatuses')) {
    const waiting = textAt(status, '', 'state', 'waiting', 'reason')
    if (waiting !== '') return waiting
    const terminated = textAt(status, '', 'state', 'terminated', 'reason')
    if (terminated !== '') return terminated
  }
  return textAt(pod, '', 'status', 'reason') || textAt(pod, 'Unknown', 'status', 'phase')
}

function podCells(pod: ApiObject, nowMs: number): readonly unknown[] {
  const statuses = listAt(pod, 'status', 'containerStatuses')
  const ready = statuses.filter(
    (status) => status.ready === true && at(status, 'state', 'running') !== undefined,
  )
  const restarts = statuses.reduce((sum, status) => sum + Number(status.restartCount ?? 0), 0)
  const lastRestart = statuses
    .map((status) => textAt(status, '', 'lastState', 'terminated', 'finishedAt'))
    .sort()
    .at(-1)
  return [
    pod.metadata.name,
    `${ready.length}/${listAt(pod, 'spec', 'containers').length}`,
    podState(pod),
    restarts > 0 && lastRestart ? `${restarts} (${since(lastRestart, nowMs)} ago)` : String(restarts),
    since(pod.metadata.creationTimestamp, nowMs),
    textAt(pod, '<none>', 'status', 'podIP'),
    textAt(pod, '<none>', 'spec', 'nodeName'),
    textAt(pod, '<none>', 'status', 'nominatedNodeName'),
    '<none>',
  ]
}

function containerNames(object: ApiObject): readonly [string, string] {
  const containers = listAt(object, 'spec', 'template', 'spec', 'containers')
  return [containers.map(({ name }) => name).join(','), containers.map(({ image }) => image).join(',')]
}

function selectorText(object: ApiObject): string {
  const labels = at(object, 'spec', 'selector', 'matchLabels')
  return (
    Object.entries((labels ?? {}) as Record<string, string>)
      .map(([key, value]) => `${key}=${value}`)
      .join(',') || '<none>'
  )
}

const numberAt = (object: ApiObject, ...path: readonly string[]): number => Number(at(object, ...path) ?? 0)

const workloadColumns = [
  column('Containers', 'string', 1),
  column('Images', 'string', 1),
  column('Selector', 'string', 1),
]
const ageColumn = column('Age')
const age = ({ metadata }: ApiObject, nowMs: number): string => since(metadata.creationTimestamp, nowMs)

const bindingPrinter: Printer = {
  columns: [
    nameColumn,
    column('Role'),
    ageColumn,
    column('Users', 'string', 1),
    column('Groups', 'string', 1),
    column('ServiceAccounts', 'string', 1),
  ],
  cells: (object, now) => {
    const subjects = (kind: string): string =>
      listAt(object, 'subjects')
        .filter((subject) => subject.kind === kind)
        .map(({ namespace, name }) => (namespace ? `${namespace}/${name}` : name))
        .join(', ')
    return [
      object.metadata.name,
      `${textAt(object, '', 'roleRef', 'kind')}/${textAt(object, '', 'roleRef', 'name')}`,
      age(object, now),
      subjects('User'),
      subjects('Group'),
      subjects('ServiceAccount'),
    ]
  },
}

/** By kind. Others have a name and an age. */
const printers: Readonly<Record<string, Printer>> = {
  Node: {
    columns: [
      nameColumn,
      column('Status'),
      column('Roles'),
      ageColumn,
      column('Version'),
      column('Internal-IP', 'string', 1),
      column('External-IP', 'string', 1),
      column('OS-Image', 'string', 1),
      column('Kernel-Version', 'string', 1),
      column('Container-Runtime', 'string', 1),
    ],
    cells: nodeCells,
  },
  Pod: {
    columns: [
      nameColumn,
      column('Ready'),
      column('Status'),
      column('Restarts'),
      ageColumn,
      column('IP', 'string', 1),
      column('Node', 'string', 1),
      column('Nominated Node', 'string', 1),
      column('Readiness Gates', 'string', 1),
    ],
    cells: podCells,
  },
  Namespace: {
    columns: [nameColumn, column('Status'), ageColumn],
    cells: (object, now) => [
      object.metadata.name,
      textAt(object, 'Active', 'status', 'phase'),
      age(object, now),
    ],
  },
  DaemonSet: {
    columns: [
      nameColumn,
      column('Desired', 'integer'),
      column('Current', 'integer'),
      column('Ready', 'integer'),
      column('Up-to-date', 'integer'),
      column('Available', 'integer'),
      column('Node Selector'),
      ageColumn,
      ...workloadColumns,
    ],
    cells: (object, now) => [
      object.metadata.name,
      numberAt(object, 'status', 'desiredNumberScheduled'),
      numberAt(object, 'status', 'currentNumberScheduled'),
      numberAt(object, 'status', 'numberReady'),
      numberAt(object, 'status', 'updatedNumberScheduled'),
      numberAt(object, 'status', 'numberAvailable'),
      '<none>',
      age(object, now),
      ...containerNames(object),
      selectorText(object),
    ],
  },
  Deployment: {
    columns: [
      nameColumn,
      column('Ready'),
      column('Up-to-date', 'integer'),
      column('Available', 'integer'),
      ageColumn,
      ...workloadColumns,
    ],
    cells: (object, now) => [
      object.metadata.name,
      `${numberAt(object, 'status', 'readyReplicas')}/${numberAt(object, 'spec', 'replicas')}`,
      numberAt(object, 'status', 'updatedReplicas'),
      numberAt(object, 'status', 'availableReplicas'),
      age(object, now),
      ...containerNames(object),
      selectorText(object),
    ],
  },
  ReplicaSet: {
    columns: [
      nameColumn,
      column('Desired', 'integer'),
      column('Current', 'integer'),
      column('Ready', 'integer'),
      ageColumn,
    ],
    cells: (object, now) => [
      object.metadata.name,
      numberAt(object, 'spec', 'replicas'),
      numberAt(object, 'status', 'replicas'),
      numberAt(object, 'status', 'readyReplicas'),
      age(object, now),
    ],
  },
  Service: {
    columns: [
      nameColumn,
      column('Type'),
      column('Cluster-IP'),
      column('External-IP'),
      column('Port(s)'),
      ageColumn,
    ],
    cells: (object, now) => [
      object.metadata.name,
      textAt(object, 'ClusterIP', 'spec', 'type'),
      textAt(object, '<none>', 'spec', 'clusterIP'),
      '<none>',
      listAt(object, 'spec', 'ports')
        .map(({ port, protocol }) => `${port}/${protocol ?? 'TCP'}`)
        .join(',') || '<none>',
      age(object, now),
    ],
  },
  Lease: {
    columns: [nameColumn, column('Holder'), ageColumn],
    cells: (object, now) => [
      object.metadata.name,
      textAt(object, '', 'spec', 'holderIdentity'),
      age(object, now),
    ],
  },
  ConfigMap: {
    columns: [nameColumn, column('Data'), ageColumn],
    cells: (object, now) => [
      object.metadata.name,
      Object.keys((object.data ?? {}) as object).length,
      age(object, now),
    ],
  },
  Secret: {
    columns: [nameColumn, column('Type'), column('Data'), ageColumn],
    cells: (object, now) => [
      object.metadata.name,
      object.type,
      Object.keys((object.data ?? {}) as object).length,
      age(object, now),
    ],
  },
  ServiceAccount: {
    columns: [nameColumn, column('Secrets'), ageColumn],
    cells: (object, now) => [object.metadata.name, listAt(object, 'secrets').length, age(object, now)],
  },
  StatefulSet: {
    columns: [nameColumn, column('Ready'), ageColumn],
    cells: (object, now) => [
      object.metadata.name,
      `${numberAt(object, 'status', 'readyReplicas')}/${numberAt(object, 'spec', 'replicas')}`,
      age(object, now),
    ],
  },
  PodDisruptionBudget: {
    columns: [nameColumn, column('Min Available'), column('Max Unavailable'), ageColumn],
    cells: (object, now) => [
      object.metadata.name,
      textAt(object, 'N/A', 'spec', 'minAvailable'),
      textAt(object, 'N/A', 'spec', 'maxUnavailable'),
      age(object, now),
    ],
  },
  PriorityClass: {
    columns: [nameColumn, column('Value', 'integer'), column('Global-Default', 'boolean'), ageColumn],
    cells: (object, now) => [
      object.metadata.name,
      object.value,
      object.globalDefault ?? false,
      age(object, now),
    ],
  },
  Role: {
    columns: [nameColumn, column('Created At', 'date')],
    cells: (object) => [object.metadata.name, object.metadata.creationTimestamp],
  },
  ClusterRole: {
    columns: [nameColumn, column('Created At', 'date')],
    cells: (object) => [object.metadata.name, object.metadata.creationTimestamp],
  },
  RoleBinding: bindingPrinter,
  ClusterRoleBinding: bindingPrinter,
  CustomResourceDefinition: {
    columns: [nameColumn, column('Created At', 'date')],
    cells: (object) => [object.metadata.name, object.metadata.creationTimestamp],
  },
  Event: {
    columns: [
      column('Last Seen'),
      column('Type'),
      column('Reason'),
      column('Object'),
      column('Message'),
      column('Name', 'string', 1, 'name'),
    ],
    cells: (object, now) => [
      since(object.lastTimestamp ?? object.metadata.creationTimestamp, now),
      object.type,
      object.reason,
      `${textAt(object, '', 'involvedObject', 'kind').toLowerCase()}/${textAt(object, '', 'involvedObject', 'name')}`,
      object.message,
      object.metadata.name,
    ],
  },
}

const plain: Printer = {
  columns: [nameColumn, ageColumn],
  cells: (object, now) => [object.metadata.name, age(object, now)],
}

export function printerOf(kind: string): Printer {
  return printers[kind] ?? plain
}
