import { badRequest } from '../http/status-error.ts'
import type { ApiObject } from './api-object.ts'

export type Predicate = (object: ApiObject) => boolean

interface Requirement {
  readonly key: string
  readonly operator: '=' | '!=' | 'in' | 'notin' | 'exists' | 'absent'
  readonly values: readonly string[]
}

/** `a=b,c!=d,e in (x,y),f notin (z),g,!h`: all must hold. */
export function parseLabelSelector(text: string): Predicate {
  const requirements = splitOutsideParentheses(text).map(parseRequirement)
  return ({ metadata: { labels = {} } }) => requirements.every((requirement) => holds(requirement, labels))
}

function splitOutsideParentheses(text: string): string[] {
  return (text.match(/(?:\([^)]*\)|[^,(])+/g) ?? []).map((part) => part.trim()).filter((part) => part !== '')
}

function parseRequirement(text: string): Requirement {
  const set = /^(\S+)\s+(in|notin)\s*\(([^)]*)\)$/.exec(text)
  if (set !== null)
    return {
      key: set[1] ?? '',
      operator: set[2] as 'in' | 'notin',
      values: (set[3] ?? '').split(',').map((value) => value.trim()),
    }
  const equality = /^([^!=\s]+)\s*(==|=|!=)\s*(\S*)$/.exec(text)
  if (equality !== null)
    return {
      key: equality[1] ?? '',
      operator: equality[2] === '!=' ? '!=' : '=',
      values: [equality[3] ?? ''],
    }
  const existence = /^(!?)\s*([A-Za-z0-9./_-]+)$/.exec(text)
  if (existence !== null)
    return { key: existence[2] ?? '', operator: existence[1] === '!' ? 'absent' : 'exists', values: [] }
  throw badRequest(`unable to parse requirement: ${text}`)
}

function holds({ key, operator, values }: Requirement, labels: Readonly<Record<string, string>>): boolean {
  const value = labels[key]
  switch (operator) {
    case '=':
    case 'in':
      return value !== undefined && values.includes(value)
    case '!=':
    case 'notin':
      return value === undefined || !values.includes(value)
    case 'exists':
      return value !== undefined
    case 'absent':
      return value === undefined
  }
}

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
  ],
}

export function parseFieldSelector(text: string, kind: string): Predicate {
  const requirements = text
    .split(',')
    .filter((part) => part !== '')
    .map((part) => {
      const match = /^([^!=]+)(==|=|!=)(.*)$/.exec(part)
      if (match === null) throw badRequest(`invalid field selector: ${part}`)
      const [, field = '', operator, value = ''] = match
      if (!commonFields.includes(field) && !fieldsByKind[kind]?.includes(field))
        throw badRequest(`field label not supported: ${field}`)
      return { field, isEqual: operator !== '!=', value }
    })
  return (object) =>
    requirements.every(({ field, isEqual, value }) => (fieldText(object, field) === value) === isEqual)
}

function fieldText(object: ApiObject, field: string): string {
  let value: unknown = object
  for (const part of field.split('.')) value = (value as Record<string, unknown> | undefined)?.[part]
  if (value === undefined || value === null)
    return field === 'spec.unschedulable' || field === 'spec.hostNetwork' ? 'false' : ''
  return String(value)
}
