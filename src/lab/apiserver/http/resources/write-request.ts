import type { IncomingMessage } from 'node:http'
import type { WriteRequest } from '../../objects/writes/write-request.ts'
import type { Call } from '../call.ts'

/** What the URL and the headers say about a write. */
export function writeRequest({ request, response, url, target }: Call): WriteRequest {
  const { searchParams } = url
  const validation = searchParams.get('fieldValidation')
  return {
    kind: target.kind,
    user: target.user,
    namespace: target.namespace,
    name: target.name ?? '',
    subresource: target.subresource,
    manager: searchParams.get('fieldManager') || managerOf(request),
    force: searchParams.get('force') === 'true',
    dryRun: searchParams.getAll('dryRun').includes('All'),
    fieldValidation: validation === 'Strict' || validation === 'Ignore' ? validation : 'Warn',
    warn: (text) => response.appendHeader('warning', `299 - ${JSON.stringify(text)}`),
  }
}

/** A client that gives no name as field manager gets the name of its program. */
function managerOf({ headers }: IncomingMessage): string {
  return (headers['user-agent'] ?? 'unknown').split('/')[0]?.slice(0, 128) ?? 'unknown'
}
