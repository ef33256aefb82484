/** An error that is sent as a Kubernetes Status object. kubectl's behaviour depends on the reason. */
export class StatusError extends Error {
  readonly code: number
  readonly reason: string
  readonly details: StatusDetails | undefined

  constructor(code: number, reason: string, message: string, details?: StatusDetails) {
    super(message)
    this.code = code
    this.reason = reason
    this.details = details
  }
}

interface StatusDetails {
  readonly name?: string
  readonly group?: string
  readonly kind?: string
  readonly uid?: string
  readonly retryAfterSeconds?: number
  readonly causes?: readonly { readonly reason: string; readonly message: string; readonly field?: string }[]
}

/** `details` stand in every refusal: kubectl debug reads them without a look whether they are there. */
export function statusBody(error: StatusError): object {
  return {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message: error.message,
    ...(error.reason === '' ? {} : { reason: error.reason }),
    details: withoutEmpty(error.details ?? {}),
    code: error.code,
  }
}

function withoutEmpty(details: StatusDetails): object {
  return Object.fromEntries(Object.entries(details).filter(([, value]) => value !== ''))
}

const qualified = (group: string, plural: string): string => (group === '' ? plural : `${plural}.${group}`)

export function notFound(group: string, plural: string, name: string): StatusError {
  return new StatusError(404, 'NotFound', `${qualified(group, plural)} "${name}" not found`, {
    name,
    group,
    kind: plural,
  })
}

export function alreadyExists(group: string, plural: string, name: string, why = ''): StatusError {
  return new StatusError(409, 'AlreadyExists', `${why}${qualified(group, plural)} "${name}" already exists`, {
    name,
    group,
    kind: plural,
  })
}

export function conflict(
  group: string,
  plural: string,
  name: string,
  why = 'the object has been modified; please apply your changes to the latest version and try again',
): StatusError {
  return new StatusError(
    409,
    'Conflict',
    `Operation cannot be fulfilled on ${qualified(group, plural)} "${name}": ${why}`,
    { name, group, kind: plural },
  )
}

export function badRequest(message: string): StatusError {
  return new StatusError(400, 'BadRequest', message)
}

export interface FieldIssue {
  readonly field: string
  /** FieldValueInvalid, FieldValueRequired, FieldValueNotSupported, FieldValueTypeInvalid … */
  readonly reason: string
  readonly message: string
}

export function invalid(
  group: string,
  kind: string,
  name: string,
  issues: readonly FieldIssue[],
): StatusError {
  const list = issues.map(({ field, message }) => `${field}: ${message}`)
  const text = list.length === 1 ? list[0] : `[${list.join(', ')}]`
  const full = group === '' ? kind : `${kind}.${group}`
  return new StatusError(422, 'Invalid', `${full} "${name}" is invalid: ${text}`, {
    name,
    group,
    kind,
    causes: issues,
  })
}
