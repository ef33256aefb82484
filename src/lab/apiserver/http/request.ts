import type { IncomingMessage } from 'node:http'
import { parse as parseYaml } from 'yaml'
import type { User } from '../access/access.ts'
import { type ApiObject, isObject } from '../objects/api-object.ts'
import type { Catalog } from '../objects/catalog.ts'
import { builtInKinds, type ResourceKind } from '../objects/resources.ts'
import { unsupported, wrong } from '../schema/field-issues.ts'
import { decodeProtobuf } from './protobuf.ts'
import { badRequest, type FieldIssue, invalid, StatusError } from './status-error.ts'

/** What a URL names. */
export interface Target {
  /** The user who sends the request. */
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

/** Undefined if the path is not that of an object or a list. Throws NotFound if there is no such kind. */
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
  // Groups of CustomResourceDefinitions answer a missing kind with another text.
  if (kind === undefined && !isBuiltInGroup(group, version)) return undefined
  if (kind === undefined || more.length > 0) throw nothingThere()
  if (subresource !== '' && !kind.subresources.includes(subresource)) throw nothingThere()
  if (kind.isNamespaced ? name !== undefined && namespace === undefined : namespace !== undefined)
    throw nothingThere()
  return { kind, namespace, name, subresource }
}

function isBuiltInGroup(group: string, version: string): boolean {
  return builtInKinds.some((kind) => kind.group === group && kind.version === version)
}

/** A slash inside a name would make an object's key look like one in another namespace. */
function decode(part: string): string {
  try {
    const decoded = decodeURIComponent(part)
    if (!decoded.includes('/')) return decoded
  } catch {
    // Said below: both are parts that no object's path has.
  }
  throw badRequest(`${part} is not a valid part of a path`)
}

/** Whether a body is an object of a kind, or a patch. */
interface Purpose {
  readonly kind: string
  readonly isPatch: boolean
}

export async function readBody(request: IncomingMessage, purpose?: Purpose): Promise<unknown> {
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
  const type = (request.headers['content-type'] ?? 'application/json').split(';')[0]?.trim() ?? ''
  if (purpose !== undefined && !purpose.isPatch && !objectTypes.includes(type))
    throw new StatusError(
      415,
      'UnsupportedMediaType',
      `the body of the request was in an unknown format - accepted media types include: ${objectTypes.join(', ')}`,
    )
  if (bytes.length === 0 && purpose === undefined) return undefined
  const body = type.includes('protobuf')
    ? decodeProtobuf(bytes)
    : parseText(bytes.toString('utf8'), type, purpose)
  if (isDeeperThan(body, mostDepth)) throw badRequest(`the body nests deeper than ${mostDepth} levels`)
  return body
}

const objectTypes = ['application/json', 'application/yaml', 'application/vnd.kubernetes.protobuf']

function parseText(text: string, type: string, purpose: Purpose | undefined): unknown {
  try {
    return type.includes('yaml') ? parseYaml(text, { uniqueKeys: false }) : JSON.parse(text)
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    const go = /Unexpected end|position 1 \(/.test(why) ? 'unexpected end of JSON input' : why
    if (purpose?.isPatch) throw badRequest(`error decoding patch: ${go}`)
    if (purpose !== undefined)
      throw unrecognized(purpose.kind, `couldn't get version/kind; json parse error: ${go}`, text)
    throw badRequest(`the body of the request is not ${type}: ${why}`)
  }
}

function unrecognized(kind: string, why: string, text: string): StatusError {
  const begin = text === '' ? '<empty>' : text.length > 30 ? `${text.slice(0, 30)} ...` : text
  return badRequest(`the object provided is unrecognized (must be of type ${kind}): ${why} (${begin})`)
}

function isDeeperThan(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false
  return levels === 0 || Object.values(value).some((below) => isDeeperThan(below, levels - 1))
}

/** Throws if a body is not an object with metadata. */
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

/** Clients send them in the body or in the query, if at all. */
export function parseDeleteOptions(body: unknown, { searchParams }: URL): DeleteOptions {
  const given = isObject(body) ? body : {}
  const preconditions = isObject(given.preconditions) ? given.preconditions : {}
  const text = (value: unknown): string | undefined =>
    value === undefined || value === null || value === '' ? undefined : String(value)
  const grace = text(given.gracePeriodSeconds ?? searchParams.get('gracePeriodSeconds'))
  if (grace !== undefined && !/^-?\d{1,9}$/.test(grace))
    throw badRequest(`gracePeriodSeconds must be a number of seconds, not ${grace}`)
  const propagation = text(given.propagationPolicy ?? searchParams.get('propagationPolicy')) ?? 'Background'
  const refuse = (issue: FieldIssue): never => {
    throw invalid('meta.k8s.io', 'DeleteOptions', '', [issue])
  }
  if (propagation !== 'Background' && propagation !== 'Foreground' && propagation !== 'Orphan')
    return refuse(
      unsupported('propagationPolicy', propagation, ['Foreground', 'Background', 'Orphan', 'nil']),
    )
  if (given.orphanDependents !== undefined && given.propagationPolicy !== undefined)
    refuse(
      wrong('propagationPolicy', propagation, 'orphanDependents and deletionPropagation cannot be both set'),
    )
  if (given.kind !== undefined && given.kind !== 'DeleteOptions')
    throw badRequest(
      `no kind "${given.kind}" is registered for version "${given.apiVersion}" in scheme "pkg/apis/meta/internalversion/scheme/register.go:27"`,
    )
  const dryRun = Array.isArray(given.dryRun) ? given.dryRun : searchParams.getAll('dryRun')
  return {
    gracePeriodSeconds: grace === undefined ? undefined : Math.max(0, Number(grace)),
    propagation,
    dryRun: dryRun.includes('All'),
    uid: text(preconditions.uid),
    resourceVersion: text(preconditions.resourceVersion),
  }
}
