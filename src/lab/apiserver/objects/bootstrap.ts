import { timestamp } from '../../../runtime/timestamp.ts'
import type { ApiObject } from './api-object.ts'
import { keyOf, type Store } from './store.ts'

const rbac = 'rbac.authorization.k8s.io'
const everything = { apiGroups: ['*'], resources: ['*'], verbs: ['*'] }
const read = ['get', 'list', 'watch']

interface RoleRule {
  readonly apiGroups?: readonly string[]
  readonly resources?: readonly string[]
  readonly nonResourceURLs?: readonly string[]
  readonly verbs: readonly string[]
}

/** What users run in a namespace. Rights over rights are not among it: who may grant may do everything. */
function workload(verbs: readonly string[]): readonly Required<Omit<RoleRule, 'nonResourceURLs'>>[] {
  const core = [
    'pods',
    'services',
    'endpoints',
    'configmaps',
    'secrets',
    'serviceaccounts',
    'events',
    'namespaces',
  ]
  const within = ['pods/log', 'pods/exec', 'pods/attach', 'pods/eviction', 'pods/status']
  return [
    { apiGroups: [''], resources: [...core, ...within], verbs },
    { apiGroups: ['apps'], resources: ['deployments', 'replicasets', 'daemonsets', 'statefulsets', 'deployments/scale', 'replicasets/scale', 'statefulsets/scale'], verbs },
    { apiGroups: ['policy'], resources: ['poddisruptionbudgets'], verbs },
    { apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs },
    { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs },
    { apiGroups: ['networking.k8s.io'], resources: ['networkpolicies'], verbs },
  ] // biome-ignore format: one a line
}

const roles: Readonly<Record<string, readonly RoleRule[]>> = {
  'cluster-admin': [everything, { nonResourceURLs: ['*'], verbs: ['*'] }],
  admin: [...workload(['*']), { apiGroups: [rbac], resources: ['roles', 'rolebindings'], verbs: ['*'] }],
  edit: workload(['*']),
  view: workload(read).map(({ resources, ...rule }) => ({
    ...rule,
    resources: resources.filter((resource) => resource !== 'secrets' && !resource.includes('/')),
  })),
  'system:discovery': [
    { nonResourceURLs: ['/api', '/api/*', '/apis', '/apis/*', '/openapi', '/openapi/*'], verbs: ['get'] },
  ],
  'system:basic-user': [
    {
      apiGroups: ['authorization.k8s.io'],
      resources: ['selfsubjectaccessreviews', 'selfsubjectrulesreviews'],
      verbs: ['create'],
    },
    { apiGroups: ['authentication.k8s.io'], resources: ['selfsubjectreviews'], verbs: ['create'] },
  ],
  'system:public-info-viewer': [
    { nonResourceURLs: ['/healthz', '/livez', '/readyz', '/version', '/version/'], verbs: ['get'] },
  ],
  'system:kube-controller-manager': [everything],
}

const groupBindings: readonly (readonly [role: string, kind: 'Group' | 'User', subject: string])[] = [
  ['cluster-admin', 'Group', 'system:masters'],
  ['system:discovery', 'Group', 'system:authenticated'],
  ['system:basic-user', 'Group', 'system:authenticated'],
  ['system:public-info-viewer', 'Group', 'system:authenticated'],
  ['system:kube-controller-manager', 'User', 'system:kube-controller-manager'],
]

/** What every cluster has from the start. What is there already stays as it is. */
export function bootstrap(store: Store): void {
  const put = (
    resource: string,
    object: Omit<ApiObject, 'metadata'> & { metadata: { name: string } },
  ): void => {
    const full = {
      ...object,
      metadata: {
        ...object.metadata,
        uid: crypto.randomUUID(),
        creationTimestamp: timestamp(Date.now()),
      },
    } as ApiObject
    if (store.get(resource, keyOf(full)) === undefined) store.put(resource, keyOf(full), full)
  }
  for (const name of ['default', 'kube-system', 'kube-public', 'kube-node-lease'])
    put('/namespaces', {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name, ...{ labels: { 'kubernetes.io/metadata.name': name } } },
      spec: { finalizers: ['kubernetes'] },
      status: { phase: 'Active' },
    })
  for (const [name, rules] of Object.entries(roles))
    put(`${rbac}/clusterroles`, { apiVersion: `${rbac}/v1`, kind: 'ClusterRole', metadata: { name }, rules })
  for (const [role, kind, subject] of groupBindings)
    put(`${rbac}/clusterrolebindings`, {
      apiVersion: `${rbac}/v1`,
      kind: 'ClusterRoleBinding',
      metadata: { name: role },
      roleRef: { apiGroup: rbac, kind: 'ClusterRole', name: role },
      subjects: [{ kind, name: subject, apiGroup: rbac }],
    })
  for (const [name, value] of [
    ['system-node-critical', 2000001000],
    ['system-cluster-critical', 2000000000],
  ] as const)
    put('scheduling.k8s.io/priorityclasses', {
      apiVersion: 'scheduling.k8s.io/v1',
      kind: 'PriorityClass',
      metadata: { name },
      value,
    })
}
