import { resourceKey } from '../../objects/resources.ts'
import { scaleOf, withScale } from '../../objects/scale.ts'
import { patch } from '../../objects/writes/patch.ts'
import { applyPatch } from '../../objects/writes/patches.ts'
import { replace } from '../../objects/writes/replace.ts'
import type { ObjectCall } from '../call.ts'
import { encodeObject, send, sendText } from '../encoding.ts'
import { methodNotAllowed, readBody } from '../request.ts'
import { act } from './actions.ts'
import { deleteObject } from './deletion.ts'
import { parseVersion, tooLarge } from './list-options.ts'
import { rendererOf } from './listing.ts'
import { keyOfTarget, notSupported, requireTarget } from './target-object.ts'
import { checkWriteOptions } from './write-options.ts'
import { writeRequest } from './write-request.ts'

const actions = ['token', 'binding', 'eviction', 'exec', 'attach']

export async function answerObject(call: ObjectCall): Promise<void> {
  const { request, url, target } = call
  const isAction = actions.includes(target.subresource)
  if (isAction && request.method !== 'POST') throw methodNotAllowed()
  checkWriteOptions(
    request.method ?? '',
    url.searchParams,
    patchType(call) === 'application/apply-patch+yaml',
  )
  switch (request.method) {
    case 'GET':
      return sendObject(call)
    case 'PUT':
      return putObject(call)
    case 'PATCH':
      return patchObject(call)
    case 'DELETE':
      return deleteObject(call)
    case 'POST':
      if (!isAction) throw notSupported('create', target)
      return takeAction(call)
    default:
      throw methodNotAllowed()
  }
}

const patchType = ({ request }: ObjectCall): string =>
  (request.headers['content-type'] ?? '').split(';')[0]?.trim() ?? ''

function sendObject({ cluster: { store }, request, response, url, target }: ObjectCall): void {
  const object = requireTarget(store, target)
  const version = parseVersion(url.searchParams.get('resourceVersion')) ?? 0
  if (version > store.version) throw tooLarge(version, store.version)
  const render = rendererOf(request, url, target)
  if (target.subresource === 'scale') send(response, 200, scaleOf(object))
  else if (render === undefined) sendText(response, 200, encodeObject(object))
  else send(response, 200, render.one(object))
}

async function putObject(call: ObjectCall): Promise<void> {
  const { cluster, request, response, target } = call
  const body = await readBody(request, { kind: target.kind.kind, isPatch: false })
  if (target.subresource === 'scale') return changeScale(call, () => body)
  sendText(response, 200, encodeObject(replace(cluster.store, writeRequest(call), body)))
}

async function patchObject(call: ObjectCall): Promise<void> {
  const { cluster, request, response, target } = call
  const type = patchType(call)
  const body = await readBody(request, { kind: target.kind.kind, isPatch: true })
  if (target.subresource === 'scale')
    return changeScale(call, (scale) => applyPatch(type, scale, body, false))
  const existed = cluster.store.get(resourceKey(target.kind), keyOfTarget(target)) !== undefined
  const stored = patch(cluster.store, writeRequest(call), type, body)
  sendText(response, existed ? 200 : 201, encodeObject(stored))
}

/** A scale is a view of an object. A change of the view changes the object. */
function changeScale(call: ObjectCall, change: (scale: object) => unknown): void {
  const { store } = call.cluster
  const object = requireTarget(store, call.target)
  const wanted = withScale(object, change(scaleOf(object)))
  send(call.response, 200, scaleOf(replace(store, { ...writeRequest(call), subresource: '' }, wanted)))
}

async function takeAction({ cluster, request, response, url, target }: ObjectCall): Promise<void> {
  const { store, lifecycle, access } = cluster
  const body = await readBody(request)
  const object = requireTarget(store, target)
  send(response, 201, act(store, lifecycle, access, target, object, body, url))
}
