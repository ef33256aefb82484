import { createHash } from 'node:crypto'
import type { ResourceKind } from '../../objects/resources.ts'

/** `api/v1` and `apis/group/version`, each with a hash that changes with its schemas: kubectl keeps them for hours. */
export function openApiIndex(kinds: readonly ResourceKind[]): object {
  const paths = new Set(kinds.map(pathOf))
  return {
    paths: Object.fromEntries(
      [...paths].sort().map((path) => {
        const hash = createHash('sha256')
          .update(JSON.stringify(openApiDocument(kinds, path)))
          .digest('hex')
          .slice(0, 32)
        return [path, { serverRelativeURL: `/openapi/v3/${path}?hash=${hash}` }]
      }),
    ),
  }
}

/**
 * The older form, in protobuf. kubectl reads it if it does not find a kind. From an empty document, kubectl concludes that
 * the kind does not exist.
 */
export const openApiV2 = {
  path: '/openapi/v2',
  type: 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf',
  empty: '',
} as const

function pathOf(kind: Pick<ResourceKind, 'group' | 'version'>): string {
  return kind.group === '' ? `api/${kind.version}` : `apis/${kind.group}/${kind.version}`
}

/**
 * The document of one group and version. It is enough for kubectl to validate on the server, to explain custom kinds, and to
 * apply. Built-in kinds have no schemas of their fields here.
 */
export function openApiDocument(kinds: readonly ResourceKind[], path: string): object | undefined {
  const served = kinds.filter((kind) => pathOf(kind) === path)
  if (served.length === 0) return undefined
  return {
    openapi: '3.0.0',
    info: { title: 'Sallyport lab', version: 'v1' },
    paths: Object.fromEntries(served.flatMap((kind) => pathsOf(kind, path))),
    components: { schemas: Object.fromEntries(served.map((kind) => [schemaName(kind), schemaOf(kind)])) },
  }
}

function schemaName({ group, version, kind }: ResourceKind): string {
  const reversed = group === '' ? 'io.k8s.api.core' : group.split('.').reverse().join('.')
  return `${reversed}.${version}.${kind}`
}

const metadataSchema = {
  type: 'object',
  description: "Standard object's metadata.",
  properties: {
    name: { type: 'string', description: 'Unique within a namespace, or the cluster.' },
    namespace: { type: 'string', description: 'The space within which each name must be unique.' },
    labels: {
      type: 'object',
      additionalProperties: { type: 'string' },
      description: 'Keys and values to select objects by.',
    },
    annotations: {
      type: 'object',
      additionalProperties: { type: 'string' },
      description: 'Keys and values for tools.',
    },
  },
}

const undescribed =
  'The lab’s API server does not describe the fields of built-in kinds, nor does it refuse those that Kubernetes does not have: https://kubernetes.io/docs/reference/kubernetes-api/ does.'

function schemaOf(kind: ResourceKind): object {
  const { group, version, kind: name } = kind
  const gvk = [{ group, version, kind: name }]
  const common = {
    apiVersion: { type: 'string', description: 'The versioned schema of this representation of an object.' },
    kind: { type: 'string', description: 'The REST resource that this object represents.' },
    metadata: metadataSchema,
  }
  if (kind.custom === undefined)
    return {
      type: 'object',
      description: undescribed,
      properties: {
        ...common,
        spec: { type: 'object', description: undescribed },
        status: { type: 'object', description: undescribed },
      },
      'x-kubernetes-group-version-kind': gvk,
    }
  const { properties, ...schema } = kind.custom.schema as { properties?: object }
  return { ...schema, properties: { ...properties, ...common }, 'x-kubernetes-group-version-kind': gvk }
}

function pathsOf(kind: ResourceKind, path: string): (readonly [string, object])[] {
  const { group, version, kind: name, plural, isNamespaced } = kind
  const gvk = { group, version, kind: name }
  const base = `/${path}/${isNamespaced ? 'namespaces/{namespace}/' : ''}${plural}`
  const content = { 'application/json': { schema: { $ref: `#/components/schemas/${schemaName(kind)}` } } }
  const operation = (parameters: readonly string[]): object => ({
    'x-kubernetes-group-version-kind': gvk,
    parameters: parameters.map((parameter) => ({ name: parameter, in: 'query', schema: { type: 'string' } })),
    responses: { 200: { description: 'OK', content } },
  })
  return [
    [base, { get: operation(['labelSelector']), post: operation(['fieldValidation', 'dryRun']) }],
    [
      `${base}/{name}`,
      {
        get: operation([]),
        put: operation(['fieldValidation']),
        patch: operation(['fieldValidation', 'dryRun', 'force']),
      },
    ],
  ]
}
