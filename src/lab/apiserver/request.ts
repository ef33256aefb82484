import type { IncomingMessage } from 'node:http'
import { parse as parseYaml } from 'yaml'
import type { User } from './access.ts'
import { type ApiObject, isObject } from './api-object.ts'
import type { Catalog } from './catalog.ts'
import { decodeProtobuf } from './protobuf.ts'
import type { ResourceKind } from './resources.ts'
import { badRequest, StatusError } from './status-error.ts'

/** What a URL names. */
export interface Target {
  /** Who asks. */
  readonly user?: User
  readonly kind: ResourceKind
  readonly namespace: string | undefined
  readonly name: string | undefined
  readonly subresource: string
}

const mostBodyBytes = 3 << 20

/**
 * How deep a body may nest. Everything that walks objects here does so by recursion, and the stack takes some thousands;
 * no honest object comes near a hundred.
 */
const mostDepth = 100

const nothingThere = (): StatusError =>
  new StatusError(404, 'NotFound', 'the server could not find the requested resource')

export const methodNotAllowed = (): StatusError =>
  new StatusError(405, 'MethodNotAllowed', 'the server does not allow this method on the requested resource')

export function parseUrl(text: string | undefined): URL {
  try {
    return new URL(text ?? '/', 'https://apiserver')
  } catch {
    throw badRequest('the path of the request is not a URL')
  }
}

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
  if (kind === undefined || more.length > 0) throw nothingThere()
  if (subresource !== '' && !kind.subresources.includes(subresource)) throw nothingThere()
  if (kind.isNamespaced ? name !== undefined && namespace === undefined : namespace !== undefined)
    throw nothingThere()
  return { kind, namespace, name, subresource }
}

/** A slash inside a name would let one object's key pass for that of another namespace's. */
function decode(part: string): string {
  try {
    const decoded = decodeURIComponent(part)
    if (!decoded.includes('/')) return decoded
  } catch {
    // Said below: both are parts that no object's path has.
  }
  throw badRequest(`${part} is not a valid part of a path`)
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
  const body = type.includes('protobuf') ? decodeProtobuf(bytes) : parseText(bytes.toString('utf8'), type)
  if (isDeeperThan(body, mostDepth)) throw badRequest(`the body nests deeper than ${mostDepth} levels`)
  return body
}

function parseText(text: string, type: string): unknown {
  try {
    return type.includes('yaml') ? parseYaml(text) : JSON.parse(text)
  } catch (error) {
    throw badRequest(
      `the body of the request is not ${type}: ${error instanceof Error ? error.message : error}`,
    )
  }
}

function isDeeperThan(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false
  return levels === 0 || Object.values(value).some((below) => isDeeperThan(below, levels - 1))
}

/** What a body must be before anything else is looked at. */
export function requireObject(body: unknown): ApiObject {
  if (!isObject(body)) throw badRequest('the request body is not an object')
  if (body.metadata === undefined || body.metadata === null) body.metadata = {}
  if (!isObject(body.metadata)) throw badRequest('metadata is not an object')
  return body as unknown as ApiObject
}

export interface DeleteOptions {
  readonly gracePeriodSeconds: number | undefined
  readonly propagation: 'Background' | 'Foreground' | 'Orphan'
  readonly dryRun: boolean
  readonly uid: string | undefined
  readonly resourceVersion: string | undefined
}

/** Clients say them in the body, in the query, or not at all. */
export function parseDeleteOptions(body: unknown, { searchParams }: URL): DeleteOptions {
  const given = isObject(body) ? body : {}
  const preconditions = isObject(given.preconditions) ? given.preconditions : {}
  const text = (value: unknown): string | undefined =>
    value === undefined || value === null || value === '' ? undefined : String(value)
  const grace = text(given.gracePeriodSeconds ?? searchParams.get('gracePeriodSeconds'))
  if (grace !== undefined && !/^\d{1,9}$/.test(grace))
    throw badRequest(`gracePeriodSeconds must be a number of seconds, not ${grace}`)
  const propagation = text(given.propagationPolicy ?? searchParams.get('propagationPolicy')) ?? 'Background'
  if (propagation !== 'Background' && propagation !== 'Foreground' && propagation !== 'Orphan')
    throw badRequest(`invalid propagationPolicy: ${propagation}`)
  const dryRun = Array.isArray(given.dryRun) ? given.dryRun : searchParams.getAll('dryRun')
  return {
    gracePeriodSeconds: grace === undefined ? undefined : Number(grace),
    propagation,
    dryRun: dryRun.includes('All'),
    uid: text(preconditions.uid),
    resourceVersion: text(preconditions.resourceVersion),
  }
}
