import type { ApiObject } from '../objects/api-object.ts'
import { age, ageColumn, at, column, listAt, nameColumn, type Printer, since, textAt } from './cells.ts'

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

/** Kinds of the core group. */
export const corePrinters: Readonly<Record<string, Printer>> = {
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
