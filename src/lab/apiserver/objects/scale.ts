import { badRequest } from '../http/status-error.ts'
import { type ApiObject, isObject } from './api-object.ts'

/** How many replicas an object has, and should have, as `kubectl scale` sees it. */
export function scaleOf({ metadata, spec, status }: ApiObject): object {
  const { name, namespace, uid, resourceVersion, creationTimestamp } = metadata
  return {
    kind: 'Scale',
    apiVersion: 'autoscaling/v1',
    metadata: { name, namespace, uid, resourceVersion, creationTimestamp },
    spec: { replicas: spec?.replicas ?? 0 },
    status: { replicas: status?.replicas ?? 0 },
  }
}

/** The object with the replicas of a Scale. */
export function withScale(object: ApiObject, scale: unknown): object {
  const spec = isObject(scale) && isObject(scale.spec) ? scale.spec : {}
  if (!Number.isInteger(spec.replicas) || Number(spec.replicas) < 0)
    throw badRequest('spec.replicas must be a number that is not negative')
  const metadata = isObject(scale) && isObject(scale.metadata) ? scale.metadata : {}
  const { resourceVersion = object.metadata.resourceVersion } = metadata
  return {
    ...object,
    metadata: { ...object.metadata, resourceVersion },
    spec: { ...object.spec, replicas: spec.replicas },
  }
}
