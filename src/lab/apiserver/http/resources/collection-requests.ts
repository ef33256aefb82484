import { create } from '../../objects/writes/create.ts'
import { isWatch } from '../attempt.ts'
import type { Call } from '../call.ts'
import { encodeObject, sendText } from '../encoding.ts'
import { methodNotAllowed, readBody } from '../request.ts'
import { deleteCollection } from './deletion.ts'
import { predicateOf, rendererOf, sendList } from './listing.ts'
import { serveWatch } from './watching.ts'
import { checkWriteOptions } from './write-options.ts'
import { writeRequest } from './write-request.ts'

export async function answerCollection(call: Call): Promise<void> {
  switch (call.request.method) {
    case 'GET':
      return listOrWatch(call)
    case 'POST':
      return createObject(call)
    case 'DELETE':
      return deleteCollection(call)
    default:
      throw methodNotAllowed()
  }
}

function listOrWatch({ cluster, request, response, url, target }: Call): void {
  const { store, bookmarkEveryMs } = cluster
  const render = rendererOf(request, url, target)
  const matches = predicateOf(url, target)
  if (isWatch(url)) serveWatch(store, { kind: target.kind, matches, render, url, bookmarkEveryMs }, response)
  else sendList(store, response, url.searchParams, target, matches, render)
}

async function createObject(call: Call): Promise<void> {
  const { cluster, request, response, url, target } = call
  const { kind } = target
  if (kind.isNamespaced && target.namespace === undefined) throw methodNotAllowed()
  checkWriteOptions('POST', url.searchParams, false)
  const body = await readBody(request, { kind: kind.kind, isPatch: false })
  sendText(response, 201, encodeObject(create(cluster.store, writeRequest(call), body)))
}
