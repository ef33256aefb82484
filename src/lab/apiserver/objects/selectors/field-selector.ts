import { badRequest } from '../../http/status-error.ts'
import type { ApiObject, Predicate } from '../api-object.ts'

const commonFields = ['metadata.name', 'metadata.namespace']
const fieldsByKind: Readonly<Record<string, readonly string[]>> = {
  Pod: [
    'spec.nodeName',
    'spec.restartPolicy',
    'spec.schedulerName',
    'spec.serviceAccountName',
    'spec.hostNetwork',
    'status.phase',
    'status.podIP',
    'status.nominatedNodeName',
  ],
  Node: ['spec.unschedulable'],
  Namespace: ['status.phase'],
  Secret: ['type'],
  Service: ['spec.clusterIP', 'spec.type'],
  Event: [
    'involvedObject.kind',
    'involvedObject.namespace',
    'involvedObject.name',
    'involvedObject.uid',
    'involvedObject.apiVersion',
    'involvedObject.fieldPath',
    'reason',
    'type',
    'source',
    'reportingComponent',
  ],
}

/** `a=b,c!=d`: all must hold. Throws what a request with a wrong one is answered. */
export function parseFieldSelector(text: string, kind: string, isCustom: boolean): Predicate {
  const requirements = text.split(',').flatMap((part) => {
    const match = /^([^!=]*)(==|=|!=)(.*)$/.exec(part)
    if (part === '') return []
    if (match === null) throw badRequest(`invalid selector: '${text}'; can't understand '${part}'`)
    const [, field = '', operator, value = ''] = match
    if (field === '' && value === '') return []
    refuseUnknownField(field, kind, isCustom)
    return [{ field, isEqual: operator !== '!=', value }]
  })
  return (object) =>
    requirements.every(({ field, isEqual, value }) => (fieldText(object, field) === value) === isEqual)
}

/** Built-in kinds without fields of their own refuse others in words of their own. */
function refuseUnknownField(field: string, kind: string, isCustom: boolean): void {
  const own = fieldsByKind[kind]
  if (commonFields.includes(field) || own?.includes(field)) return
  throw badRequest(
    own === undefined && !isCustom
      ? `${JSON.stringify(field)} is not a known field selector: only ${commonFields.map((each) => `"${each}"`).join(', ')}`
      : `field label not supported: ${field}`,
  )
}

function fieldText(object: ApiObject, field: string): string {
  let value: unknown = object
  for (const part of field.split('.')) value = (value as Record<string, unknown> | undefined)?.[part]
  if (value === undefined || value === null)
    return field === 'spec.unschedulable' || field === 'spec.hostNetwork' ? 'false' : ''
  return String(value)
}
