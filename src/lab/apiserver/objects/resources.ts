import type { ApiObject, JsonObject } from './api-object.ts'

/** A kind of object that is served. */
export interface ResourceKind {
  readonly group: string
  readonly version: string
  readonly kind: string
  readonly plural: string
  readonly singular: string
  readonly shortNames: readonly string[]
  readonly categories: readonly string[]
  readonly isNamespaced: boolean
  readonly subresources: readonly string[]
  /** For a kind that a CustomResourceDefinition defines. */
  readonly custom?: CustomKind
}

interface CustomKind {
  readonly schema: JsonObject
  readonly columns: readonly Column[]
  readonly hasStatus: boolean
}

export interface Column {
  readonly name: string
  readonly type: string
  readonly jsonPath: string
  readonly description?: string
  readonly priority?: number
  readonly format?: string
}

function builtIn(
  group: string,
  kind: string,
  plural: string,
  shortNames: readonly string[],
  isNamespaced: boolean,
  subresources: readonly string[] = [],
  categories: readonly string[] = [],
): ResourceKind {
  const version = 'v1'
  return {
    group,
    version,
    kind,
    plural,
    singular: kind.toLowerCase(),
    shortNames,
    categories,
    isNamespaced,
    subresources,
  }
}

const rbac = 'rbac.authorization.k8s.io'

export const builtInKinds: readonly ResourceKind[] = [
  builtIn('', 'Namespace', 'namespaces', ['ns'], false, ['status', 'finalize']),
  builtIn('', 'Node', 'nodes', ['no'], false, ['status']),
  builtIn(
    '',
    'Pod',
    'pods',
    ['po'],
    true,
    ['status', 'binding', 'exec', 'attach', 'log', 'eviction'],
    ['all'],
  ),
  builtIn('', 'Service', 'services', ['svc'], true, ['status'], ['all']),
  builtIn('', 'Endpoints', 'endpoints', ['ep'], true),
  builtIn('', 'ConfigMap', 'configmaps', ['cm'], true),
  builtIn('', 'Secret', 'secrets', [], true),
  builtIn('', 'ServiceAccount', 'serviceaccounts', ['sa'], true, ['token']),
  builtIn('', 'Event', 'events', ['ev'], true),
  builtIn('apps', 'Deployment', 'deployments', ['deploy'], true, ['status', 'scale'], ['all']),
  builtIn('apps', 'ReplicaSet', 'replicasets', ['rs'], true, ['status', 'scale'], ['all']),
  builtIn('apps', 'DaemonSet', 'daemonsets', ['ds'], true, ['status'], ['all']),
  builtIn('apps', 'StatefulSet', 'statefulsets', ['sts'], true, ['status', 'scale'], ['all']),
  builtIn('coordination.k8s.io', 'Lease', 'leases', [], true),
  builtIn('networking.k8s.io', 'NetworkPolicy', 'networkpolicies', ['netpol'], true),
  builtIn('policy', 'PodDisruptionBudget', 'poddisruptionbudgets', ['pdb'], true, ['status']),
  builtIn('scheduling.k8s.io', 'PriorityClass', 'priorityclasses', ['pc'], false),
  builtIn('discovery.k8s.io', 'EndpointSlice', 'endpointslices', [], true),
  builtIn(rbac, 'Role', 'roles', [], true),
  builtIn(rbac, 'RoleBinding', 'rolebindings', [], true),
  builtIn(rbac, 'ClusterRole', 'clusterroles', [], false),
  builtIn(rbac, 'ClusterRoleBinding', 'clusterrolebindings', [], false),
  builtIn(
    'apiextensions.k8s.io',
    'CustomResourceDefinition',
    'customresourcedefinitions',
    ['crd', 'crds'],
    false,
    ['status'],
  ),
]

const kindsWithGeneration = new Set([
  'Pod',
  'Deployment',
  'ReplicaSet',
  'DaemonSet',
  'StatefulSet',
  'NetworkPolicy',
  'PodDisruptionBudget',
  'EndpointSlice',
  'PriorityClass',
  'CustomResourceDefinition',
])

/** Whether changes of the spec are counted. */
export function hasGeneration({ custom, kind }: ResourceKind): boolean {
  return custom !== undefined || kindsWithGeneration.has(kind)
}

export const verbs = [
  'create',
  'delete',
  'deletecollection',
  'get',
  'list',
  'patch',
  'update',
  'watch',
] as const

export function resourceKey({ group, plural }: Pick<ResourceKind, 'group' | 'plural'>): string {
  return `${group}/${plural}`
}

export function apiVersionOf({ group, version }: Pick<ResourceKind, 'group' | 'version'>): string {
  return group === '' ? version : `${group}/${version}`
}

interface CrdSpec {
  readonly group: string
  readonly scope: string
  readonly names: {
    kind: string
    plural: string
    singular?: string
    shortNames?: string[]
    categories?: string[]
  }
  readonly versions: readonly {
    readonly name: string
    readonly served: boolean
    readonly storage: boolean
    readonly schema?: { readonly openAPIV3Schema?: JsonObject }
    readonly subresources?: { readonly status?: object }
    readonly additionalPrinterColumns?: readonly Column[]
  }[]
}

/** The kind that a CustomResourceDefinition defines, in its storage version. */
export function kindOfDefinition(definition: ApiObject): ResourceKind | undefined {
  const { group, scope, names, versions } = definition.spec as unknown as CrdSpec
  const version = versions.find(({ storage, served }) => storage && served)
  if (version === undefined) return undefined
  const hasStatus = version.subresources?.status !== undefined
  return {
    group,
    version: version.name,
    kind: names.kind,
    plural: names.plural,
    singular: names.singular ?? names.kind.toLowerCase(),
    shortNames: names.shortNames ?? [],
    categories: names.categories ?? [],
    isNamespaced: scope === 'Namespaced',
    subresources: hasStatus ? ['status'] : [],
    custom: {
      schema: version.schema?.openAPIV3Schema ?? {
        type: 'object',
        'x-kubernetes-preserve-unknown-fields': true,
      },
      columns: version.additionalPrinterColumns ?? [
        { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
      ],
      hasStatus,
    },
  }
}
