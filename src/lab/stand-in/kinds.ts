import type { KubeClient, ResourceName } from '../../kube/client.ts'

interface DiscoveredResource {
  readonly resource: string
  readonly singularResource: string
  readonly shortNames?: readonly string[]
  readonly scope: string
  readonly responseKind: { readonly kind: string }
}

interface Discovery {
  readonly items: readonly {
    readonly metadata: { readonly name?: string }
    readonly versions: readonly {
      readonly version: string
      readonly resources: readonly DiscoveredResource[]
    }[]
  }[]
}

export interface FoundKind extends ResourceName {
  readonly kind: string
  readonly singular: string
}

/** Everything that the server serves. */
export async function discover(client: KubeClient): Promise<readonly FoundKind[]> {
  const accept = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList'
  const lists = await Promise.all(
    ['/api', '/apis'].map((path) => client.json({ method: 'GET', path, accept }) as Promise<Discovery>),
  )
  return lists.flatMap(({ items }) =>
    items.flatMap(({ metadata: { name: group = '' }, versions }) =>
      versions.flatMap(({ version, resources }) =>
        resources.map(({ resource, singularResource, shortNames = [], scope, responseKind }) => ({
          group,
          version,
          plural: resource,
          isNamespaced: scope === 'Namespaced',
          kind: responseKind.kind,
          singular: singularResource,
          names: [resource, singularResource, responseKind.kind.toLowerCase(), ...shortNames],
        })),
      ),
    ),
  )
}

/** By plural, singular or short name, as people type them. */
export function findKind(kinds: readonly FoundKind[], word: string): FoundKind {
  const found = kinds.find((kind) =>
    (kind as FoundKind & { names: readonly string[] }).names.includes(word.toLowerCase()),
  )
  if (found === undefined) throw new Error(`the server doesn't have a resource type "${word}"`)
  return found
}

/** `pod/xwing` or `node/kind-worker`: how objects are named in answers. */
export function nameOf({ group, singular }: FoundKind, name: string): string {
  return `${group === '' ? singular : `${singular}.${group}`}/${name}`
}
