import type { IncomingMessage } from 'node:http'
import { parse as parseYaml } from 'yaml'
import type { Catalog } from './catalog.ts'
import type { ResourceKind } from './resources.ts'
import { badRequest, StatusError } from './status-error.ts'

/** What a URL names. */
export interface Target {
  readonly kind: ResourceKind
  readonly namespace: string | undefined
  readonly name: string | undefined
  readonly subresource: string
}

const mostBodyBytes = 3 << 20

/** Undefined where the path is none of an object or a list. Throws NotFound where there is no such kind. */
export function parseTarget(path: string, catalog: Catalog): Target | undefined {
  const match = /^\/(?:api|apis\/([^/]+))\/([^/]+)\/(.+)$/.exec(path)
  if (match === null) return undefined
  const [, group = '', version = '', rest = ''] = match
  const parts = rest.split('/').map(decode)
  const isInNamespace =
    parts[0] === 'namespaces' &&
    parts.length > 2 &&
    !(parts.length === 3 && ['status', 'finalize'].includes(parts[2] ?? ''))
  const [namespace, plural = '', name, subresource = '', ...more] = isInNamespace
    ? [parts[1], parts[2], parts[3], parts[4], ...parts.slice(5)]
    : [undefined, ...parts]
  const kind = catalog.find(group, version, plural)
  if (kind === undefined || more.length > 0)
    throw new StatusError(404, 'NotFound', 'the server could not find the requested resource')
  if (subresource !== '' && !kind.subresources.includes(subresource))
    throw new StatusError(404, 'NotFound', 'the server could not find the requested resource')
  return { kind, namespace: kind.isNamespaced ? namespace : undefined, name, subresource }
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    throw badRequest(`${part} is not a valid part of a path`)
  }
}

export async function readBody(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of request) {
    length += (chunk as Buffer).length
    if (length > mostBodyBytes)
      throw new StatusError(
        413,
        'RequestEntityTooLarge',
        `Request entity too large: limit is ${mostBodyBytes}`,
      )
    chunks.push(chunk as Buffer)
  }
  const bytes = Buffer.concat(chunks)
  if (bytes.length === 0) return undefined
  const type = (request.headers['content-type'] ?? 'application/json').split(';')[0]?.trim() ?? ''
  if (type.includes('protobuf'))
    throw new StatusError(
      415,
      'UnsupportedMediaType',
      'this API server reads JSON and YAML, not protobuf: write the object to a file and use kubectl apply -f',
    )
  try {
    return type.includes('yaml') ? parseYaml(bytes.toString('utf8')) : JSON.parse(bytes.toString('utf8'))
  } catch (error) {
    throw badRequest(
      `the body of the request is not ${type}: ${error instanceof Error ? error.message : error}`,
    )
  }
}
