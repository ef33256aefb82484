import { timestamp } from '../../../../runtime/timestamp.ts'
import type { Access } from '../../access/access.ts'
import type { ApiObject, JsonObject } from '../../objects/api-object.ts'
import { isObject } from '../../objects/api-object.ts'
import type { Lifecycle } from '../../objects/lifecycle.ts'
import { holdingBudget } from '../../objects/pods/disruption.ts'
import { objectsIn } from '../../objects/pods/pod-defaults.ts'
import { keyOf, type Store } from '../../objects/store.ts'
import { issueToken } from '../../objects/token-request.ts'
import { parseDeleteOptions, type Target } from '../request.ts'
import { badRequest, StatusError } from '../status-error.ts'

const success = { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 }

/** Subresources that are created and not stored: a token, a binding, an eviction. */
export function act(
  store: Store,
  lifecycle: Lifecycle,
  access: Access,
  target: Target,
  object: ApiObject,
  body: unknown,
  url: URL,
): object {
  const given = isObject(body) ? body : {}
  switch (target.subresource) {
    case 'token':
      return issueToken(store, access, object, given)
    case 'binding':
      return bind(store, object, isObject(given.target) ? given.target : {})
    case 'eviction':
      return evict(store, lifecycle, object, given, url)
    default:
      throw badRequest(
        `${target.subresource} is not something to be created here; exec and attach need a WebSocket (kubectl 1.30 or later)`,
      )
  }
}

function condition(type: string, reason: JsonObject = {}): JsonObject {
  return { type, status: 'True', lastProbeTime: null, lastTransitionTime: timestamp(Date.now()), ...reason }
}

/** Replaces the condition of the same type. */
function withCondition({ status = {} }: ApiObject, added: JsonObject): JsonObject {
  const others = objectsIn(status.conditions).filter(({ type }) => type !== added.type)
  return { ...status, conditions: [...others, added] }
}

function bind(store: Store, pod: ApiObject, { name }: JsonObject): object {
  const { name: podName } = pod.metadata
  const refuse = (why: string): StatusError =>
    new StatusError(409, 'Conflict', `Operation cannot be fulfilled on pods/binding "${podName}": ${why}`, {
      name: podName,
      kind: 'pods/binding',
    })
  if (typeof name !== 'string' || name === '') throw badRequest('target.name: Required value')
  if (pod.metadata.deletionTimestamp !== undefined)
    throw refuse(`pod ${podName} is being deleted, cannot be assigned to a host`)
  if (pod.spec?.nodeName) throw refuse(`pod ${podName} is already assigned to node "${pod.spec.nodeName}"`)
  const status = withCondition(pod, condition('PodScheduled'))
  store.put('/pods', keyOf(pod), { ...pod, spec: { ...pod.spec, nodeName: name }, status })
  return success
}

/** Deletes the pod, unless its disruption budget forbids that. */
function evict(store: Store, lifecycle: Lifecycle, pod: ApiObject, given: JsonObject, url: URL): object {
  const metadata = isObject(given.metadata) ? given.metadata : {}
  if (metadata.name !== pod.metadata.name)
    throw badRequest('name in URL does not match name in Eviction object')
  const options = parseDeleteOptions(given.deleteOptions, url)
  const holding = holdingBudget(store, pod)
  if (holding !== undefined) {
    const { name, needed, healthy } = holding
    const message = `The disruption budget ${name} needs ${needed} healthy pods and has ${healthy} currently`
    throw new StatusError(
      429,
      'TooManyRequests',
      `Cannot evict pod as it would violate the pod's disruption budget.`,
      { causes: [{ reason: 'DisruptionBudget', message }] },
    )
  }
  if (options.dryRun || url.searchParams.has('dryRun')) return success
  const reason = { reason: 'EvictionByEvictionAPI', message: 'Eviction API: evicting' }
  const status = withCondition(pod, condition('DisruptionTarget', reason))
  const marked = store.put('/pods', keyOf(pod), { ...pod, status })
  lifecycle.delete('/pods', marked, options)
  return success
}
