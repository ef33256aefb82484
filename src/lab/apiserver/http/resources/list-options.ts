import { badRequest, type FieldIssue, invalid, StatusError } from '../status-error.ts'

/** The options of a list or a watch besides selectors: `ListOptions` of meta.k8s.io/v1. */
export interface ListOptions {
  /** 0 or less: all. */
  readonly limit: number
  readonly continuation: string
  /** Undefined: the newest state. 0: any state. */
  readonly resourceVersion: number | undefined
  readonly isExact: boolean
}

/** Throws the API server's error if options contradict each other or cannot be parsed. */
export function parseListOptions(parameters: URLSearchParams): ListOptions {
  const limit = parseLimit(parameters.get('limit'))
  const continuation = parameters.get('continue') ?? ''
  const version = parameters.get('resourceVersion') ?? ''
  const match = parameters.get('resourceVersionMatch') ?? ''
  refuse(listMatchProblem(match, version))
  if (continuation !== '' && version !== '' && version !== '0')
    throw badRequest('specifying resource version is not allowed when using continue')
  const problem = versionProblem(version)
  if (problem !== undefined) throw badRequest(`invalid resource version: ${problem}`)
  return {
    limit,
    continuation,
    resourceVersion: version === '' ? undefined : Number(version),
    isExact: match === 'Exact' || (match === '' && limit > 0 && version !== '' && version !== '0'),
  }
}

/**
 * Throws the API server's error if the version is not one that a get or a watch can start at. Undefined if none was given.
 */
export function parseVersion(text: string | null): number | undefined {
  if (text === null || text === '') return undefined
  const problem = versionProblem(text)
  if (problem !== undefined) throw new StatusError(500, '', problem)
  return Number(text)
}

/** Checks the options of a watch. Only a watch with initial events may set resourceVersionMatch. */
export function checkWatchOptions(parameters: URLSearchParams): void {
  const match = parameters.get('resourceVersionMatch') ?? ''
  const asksForInitial = parameters.has('sendInitialEvents')
  if (asksForInitial && match !== 'NotOlderThan')
    refuse(forbidden('sendInitialEvents requires setting resourceVersionMatch to NotOlderThan'))
  if (!asksForInitial && match !== '')
    refuse(forbidden('resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided'))
}

/** The version is not there yet. A real API server waits three seconds for it; the embedded one has no other to wait for. */
export function tooLarge(version: number, current: number): StatusError {
  return new StatusError(
    504,
    'Timeout',
    `Timeout: Too large resource version: ${version}, current: ${current}`,
    {
      causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }],
      retryAfterSeconds: 1,
    },
  )
}

function parseLimit(text: string | null): number {
  if (text === null || text === '') return 0
  if (!/^[+-]?\d+$/.test(text))
    throw badRequest(`strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`)
  return Number(text)
}

function versionProblem(text: string): string | undefined {
  if (/^\d{0,15}$/.test(text)) return undefined
  const quoted = JSON.stringify(text)
  return `resourceVersion: Invalid value: ${quoted}: strconv.ParseUint: parsing ${quoted}: invalid syntax`
}

function listMatchProblem(match: string, version: string): FieldIssue | undefined {
  if (match === '') return undefined
  if (version === '') return forbidden('resourceVersionMatch is forbidden unless resourceVersion is provided')
  if (match !== 'Exact' && match !== 'NotOlderThan')
    return {
      field: 'resourceVersionMatch',
      reason: 'FieldValueNotSupported',
      message: `Unsupported value: ${JSON.stringify(match)}: supported values: "Exact", "NotOlderThan", ""`,
    }
  if (match === 'Exact' && version === '0')
    return forbidden('resourceVersionMatch "exact" is forbidden for resourceVersion "0"')
  return undefined
}

function forbidden(why: string): FieldIssue {
  return { field: 'resourceVersionMatch', reason: 'FieldValueForbidden', message: `Forbidden: ${why}` }
}

function refuse(issue: FieldIssue | undefined): void {
  if (issue !== undefined) throw invalid('meta.k8s.io', 'ListOptions', '', [issue])
}
