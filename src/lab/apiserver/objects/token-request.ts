import { timestamp } from '../../../runtime/timestamp.ts'
import type { Access } from '../access/access.ts'
import { badRequest, conflict, invalid, notFound } from '../http/status-error.ts'
import { wrong } from '../schema/field-issues.ts'
import { type ApiObject, isObject, type JsonObject } from './api-object.ts'
import type { Store } from './store.ts'

const group = 'authentication.k8s.io'
const limits = { least: 600, usual: 3600, most: 2 ** 32 }
/** The audience of tokens that name no other: the API server itself. */
export const defaultAudience = 'https://kubernetes.default.svc.cluster.local'

/** Issues a token of an account, for the requested time, and bound to a pod if the request names one. */
export function issueToken(store: Store, access: Access, account: ApiObject, body: JsonObject): object {
  const spec = isObject(body.spec) ? body.spec : {}
  const seconds = Number(spec.expirationSeconds ?? limits.usual)
  const tooShort = seconds < limits.least && 'may not specify a duration less than 10 minutes'
  const tooLong = seconds > limits.most && 'may not specify a duration larger than 2^32 seconds'
  const problem = tooShort || tooLong
  if (problem) throw invalid(group, 'TokenRequest', '', [wrong('spec.expirationSeconds', seconds, problem)])
  const { name, namespace = '', uid } = account.metadata
  const bound = isObject(spec.boundObjectRef) ? spec.boundObjectRef : undefined
  const pod = bound && boundPod(store, namespace, bound)
  const nowMs = Date.now()
  const asked = Array.isArray(spec.audiences) ? spec.audiences.map(String) : []
  const audiences = asked.length > 0 ? asked : [defaultAudience]
  const { token, expires } = access.issueToken(namespace, account, seconds, nowMs, {
    pod,
    ...(audiences.includes(defaultAudience) ? {} : { audiences }),
  })
  return {
    kind: 'TokenRequest',
    apiVersion: `${group}/v1`,
    metadata: { name, namespace, uid, creationTimestamp: timestamp(nowMs) },
    spec: { audiences, expirationSeconds: seconds, boundObjectRef: bound ?? null },
    status: { token, expirationTimestamp: expires.replace(/\.\d+/, '') },
  }
}

function boundPod(store: Store, namespace: string, reference: JsonObject): { name: string; uid: string } {
  const { apiVersion = '', kind = '', name = '', uid } = reference
  if (apiVersion !== 'v1' || kind !== 'Pod') {
    const [version = '', of = ''] = String(apiVersion).split('/').reverse()
    throw badRequest(`cannot bind token to object of type ${of}/${version}, Kind=${kind}`)
  }
  const pod = store.get('/pods', `${namespace}/${name}`)
  if (pod === undefined) throw notFound('', 'pods', String(name))
  const found = pod.metadata.uid ?? ''
  if (uid !== undefined && uid !== found) throw conflict('', 'pods', String(name))
  return { name: String(name), uid: found }
}
