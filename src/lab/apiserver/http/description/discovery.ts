import { apiVersionOf, type ResourceKind, verbs } from '../../objects/resources.ts'

const discoveryVersion = 'apidiscovery.k8s.io/v2'
export const aggregatedType = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList'

const subresourceKinds: Readonly<
  Record<string, { group: string; version: string; kind: string; verbs: string[] }>
> = {
  exec: { group: '', version: 'v1', kind: 'PodExecOptions', verbs: ['create', 'get'] },
  attach: { group: '', version: 'v1', kind: 'PodAttachOptions', verbs: ['create', 'get'] },
  log: { group: '', version: 'v1', kind: 'Pod', verbs: ['get'] },
  binding: { group: '', version: 'v1', kind: 'Binding', verbs: ['create'] },
  eviction: { group: 'policy', version: 'v1', kind: 'Eviction', verbs: ['create'] },
  token: { group: 'authentication.k8s.io', version: 'v1', kind: 'TokenRequest', verbs: ['create'] },
  scale: { group: 'autoscaling', version: 'v1', kind: 'Scale', verbs: ['get', 'patch', 'update'] },
}

const reviewKinds: readonly (readonly [group: string, kind: string, plural: string])[] = [
  ['authorization.k8s.io', 'SelfSubjectAccessReview', 'selfsubjectaccessreviews'],
  ['authorization.k8s.io', 'SelfSubjectRulesReview', 'selfsubjectrulesreviews'],
  ['authentication.k8s.io', 'SelfSubjectReview', 'selfsubjectreviews'],
]

/** The newer form: everything of /api or /apis in one answer. */
export function aggregatedDiscovery(kinds: readonly ResourceKind[], isCore: boolean): object {
  const groups = isCore
    ? ['']
    : [...new Set([...kinds.map(({ group }) => group), ...reviewKinds.map(([group]) => group)])].filter(
        (group) => group !== '',
      )
  return {
    kind: 'APIGroupDiscoveryList',
    apiVersion: discoveryVersion,
    metadata: {},
    items: groups.sort().map((group) => ({
      metadata: group === '' ? {} : { name: group },
      versions: versionsOf(kinds, group).map((version) => ({
        version,
        freshness: 'Current',
        resources: [
          ...kinds.filter((kind) => kind.group === group && kind.version === version).map(aggregatedResource),
          ...reviewKinds
            .filter(([of]) => of === group)
            .map(([, kind, resource]) => ({
              resource,
              responseKind: { group, version: 'v1', kind },
              scope: 'Cluster',
              singularResource: kind.toLowerCase(),
              verbs: ['create'],
            })),
        ],
      })),
    })),
  }
}

function versionsOf(kinds: readonly ResourceKind[], group: string): string[] {
  const versions = new Set(kinds.filter((kind) => kind.group === group).map(({ version }) => version))
  return versions.size === 0 ? ['v1'] : [...versions]
}

function aggregatedResource(kind: ResourceKind): object {
  const { group, version, plural, singular, shortNames, categories, isNamespaced } = kind
  return {
    resource: plural,
    responseKind: { group, version, kind: kind.kind },
    scope: isNamespaced ? 'Namespaced' : 'Cluster',
    singularResource: singular,
    verbs: verbsOf(kind),
    ...(shortNames.length === 0 ? {} : { shortNames }),
    ...(categories.length === 0 ? {} : { categories }),
    subresources: kind.subresources.map((subresource) => {
      const known = subresourceKinds[subresource]
      return {
        subresource,
        responseKind:
          known === undefined
            ? { group, version, kind: kind.kind }
            : { group: known.group, version: known.version, kind: known.kind },
        verbs: known?.verbs ?? ['get', 'patch', 'update'],
      }
    }),
  }
}

/** The older form: /api, /apis, /api/v1, /apis/group/version. Undefined if there is no such group or version. */
export function legacyDiscovery(kinds: readonly ResourceKind[], path: string): object | undefined {
  if (path === '/api') return { kind: 'APIVersions', versions: ['v1'], serverAddressByClientCIDRs: [] }
  if (path === '/apis') return { kind: 'APIGroupList', apiVersion: 'v1', groups: groupsOf(kinds) }
  const groupOnly = /^\/apis\/([^/]+)$/.exec(path)
  if (groupOnly !== null) return groupsOf(kinds).find(({ name }) => name === groupOnly[1])
  const match = /^\/(?:api|apis\/([^/]+))\/([^/]+)$/.exec(path)
  if (match === null) return undefined
  const [, group = '', version = ''] = match
  const served = kinds.filter((kind) => kind.group === group && kind.version === version)
  const reviews = reviewKinds.filter(([of]) => of === group && version === 'v1')
  if (served.length === 0 && reviews.length === 0) return undefined
  return {
    kind: 'APIResourceList',
    apiVersion: 'v1',
    groupVersion: apiVersionOf({ group, version }),
    resources: [
      ...served.flatMap(legacyResources),
      ...reviews.map(([, kind, name]) => ({
        name,
        singularName: kind.toLowerCase(),
        namespaced: false,
        kind,
        verbs: ['create'],
      })),
    ],
  }
}

function groupsOf(kinds: readonly ResourceKind[]) {
  const groups = [
    ...new Set([...kinds.map(({ group }) => group), ...reviewKinds.map(([group]) => group)]),
  ].filter((group) => group !== '')
  return groups.sort().map((name) => {
    const versions = versionsOf(kinds, name).map((version) => ({
      groupVersion: `${name}/${version}`,
      version,
    }))
    return { kind: 'APIGroup', apiVersion: 'v1', name, versions, preferredVersion: versions[0] }
  })
}

function legacyResources(kind: ResourceKind): object[] {
  const { plural: name, singular: singularName, shortNames, categories, isNamespaced: namespaced } = kind
  return [
    {
      name,
      singularName,
      namespaced,
      kind: kind.kind,
      verbs: verbsOf(kind),
      ...(shortNames.length === 0 ? {} : { shortNames }),
      ...(categories.length === 0 ? {} : { categories }),
    },
    ...kind.subresources.map((subresource) => ({
      name: `${name}/${subresource}`,
      singularName: '',
      namespaced,
      kind: subresourceKinds[subresource]?.kind ?? kind.kind,
      verbs: subresourceKinds[subresource]?.verbs ?? ['get', 'patch', 'update'],
    })),
  ]
}

/** An API server lists the verbs of custom kinds in another order. */
function verbsOf({ custom }: ResourceKind): readonly string[] {
  return custom === undefined ? verbs : customVerbs
}

const customVerbs = ['delete', 'deletecollection', 'get', 'list', 'patch', 'create', 'update', 'watch']
