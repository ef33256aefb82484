import type { IncomingMessage } from 'node:http'
import type { ResourceKind } from '../../objects/resources.ts'
import { aggregatedDiscovery, aggregatedType, legacyDiscovery } from './discovery.ts'
import { openApiDocument, openApiIndex } from './openapi.ts'

/** Discovery and OpenAPI. Undefined if the path is neither. */
export function describeApi(
  kinds: readonly ResourceKind[],
  path: string,
  request: IncomingMessage,
): { readonly body: object; readonly type?: string } | undefined {
  if (path === '/api' || path === '/apis')
    if (request.headers.accept?.includes(aggregatedType))
      return { body: aggregatedDiscovery(kinds, path === '/api'), type: aggregatedType }
  if (path === '/openapi/v3') return { body: openApiIndex(kinds) }
  const body = path.startsWith('/openapi/v3/')
    ? openApiDocument(kinds, path.slice('/openapi/v3/'.length))
    : legacyDiscovery(kinds, path)
  return body && { body }
}
