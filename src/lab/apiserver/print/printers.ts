import type { ApiObject } from '../objects/api-object.ts'
import { age, ageColumn, at, column, listAt, nameColumn, numberAt, type Printer, textAt } from './cells.ts'
import { corePrinters } from './core-printers.ts'

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

const workloadColumns = [
  column('Containers', 'string', 1),
  column('Images', 'string', 1),
  column('Selector', 'string', 1),
]
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
  ...corePrinters,
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
  Lease: {
    columns: [nameColumn, column('Holder'), ageColumn],
    cells: (object, now) => [
      object.metadata.name,
      textAt(object, '', 'spec', 'holderIdentity'),
      age(object, now),
    ],
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
}

const plain: Printer = {
  columns: [nameColumn, ageColumn],
  cells: (object, now) => [object.metadata.name, age(object, now)],
}

export function printerOf(kind: string): Printer {
  return printers[kind] ?? plain
}
