import { type ApiObject, isObject, type JsonObject } from './api-object.ts'
import type { Column, ResourceKind } from './resources.ts'

/** What kubectl prints: cells by the server, headers and widths by the client. */
interface Printer {
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
const nameColumn = column('Name', 'string', 0, 'name')

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

function since(time: unknown, nowMs: number): string {
  return typeof time === 'string' ? shortDuration(nowMs - Date.parse(time)) : '<unknown>'
}

type Loose = Record<string, unknown>
const at = (object: unknown, ...path: readonly string[]): unknown =>
  path.reduce<unknown>((value, part) => (isObject(value) ? value[part] : undefined), object)
const listAt = (object: unknown, ...path: readonly string[]): Loose[] => {
  const value = at(object, ...path)
  return Array.isArray(value) ? (value as Loose[]) : []
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

function customPrinter(columns: readonly Column[]): Printer {
  return {
    columns: [
      nameColumn,
      ...columns.map((each) => ({
        ...each,
        description: each.description ?? '',
        format: each.format ?? '',
        priority: each.priority ?? 0,
      })),
    ],
    cells: (object, now) => [
      object.metadata.name,
      ...columns.map(({ jsonPath, type }) => {
        const value = readJsonPath(object, jsonPath)
        return type === 'date' ? since(value, now) : (value ?? '')
      }),
    ],
  }
}

/** The subset of JSONPath that printer columns use: fields, indexes and one filter by equality. */
export function readJsonPath(object: unknown, path: string): unknown {
  let value = object
  for (const [, field, index, filterField, filterValue] of path.matchAll(
    /\.([\w-]+)|\[(\d+)\]|\[\?\(@\.(\w+)\s*==\s*["']([^"']*)["']\)\]/g,
  )) {
    if (field !== undefined) value = isObject(value) ? value[field] : undefined
    else if (index !== undefined) value = Array.isArray(value) ? value[Number(index)] : undefined
    else
      value = Array.isArray(value)
        ? value.find((item) => (item as JsonObject)[filterField ?? ''] === filterValue)
        : undefined
  }
  return value
}

/** `includeObject` says how much of each object goes along: kubectl computes labels and namespaces from it. */
export function renderTable(
  kind: ResourceKind,
  objects: readonly ApiObject[],
  listMetadata: object,
  includeObject: string,
  nowMs: number,
): object {
  const printer =
    kind.custom === undefined ? (printers[kind.kind] ?? plain) : customPrinter(kind.custom.columns)
  return {
    kind: 'Table',
    apiVersion: 'meta.k8s.io/v1',
    metadata: listMetadata,
    columnDefinitions: printer.columns.map(({ name, type, format = '', description = '', priority = 0 }) => ({
      name,
      type,
      format,
      description,
      priority,
    })),
    rows: objects.map((object) => ({
      cells: printer.cells(object, nowMs),
      object:
        includeObject === 'Object'
          ? object
          : { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata: object.metadata },
    })),
  }
}
