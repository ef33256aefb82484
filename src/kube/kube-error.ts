/** An error response of an API server: a Status object, or another body if something in front of the server answered. */
export class KubeError extends Error {
  readonly code: number
  readonly reason: string
  readonly details: unknown
  /** The response's Retry-After, if it has one. */
  readonly retryAfterMs: number | undefined

  constructor(attempted: string, code: number, body: unknown, retryAfterMs?: number) {
    const status = (typeof body === 'object' && body !== null ? body : {}) as Record<string, unknown>
    const message = typeof status.message === 'string' ? status.message : `HTTP ${code}`
    super(`${attempted}: ${message}`)
    this.name = 'KubeError'
    this.code = code
    this.reason = typeof status.reason === 'string' ? status.reason : ''
    this.details = status.details
    this.retryAfterMs = retryAfterMs
  }
}

export function isNotFound(error: unknown): boolean {
  return error instanceof KubeError && error.code === 404
}

/** Not the object is missing, but its kind or a subresource that the kind does not have. */
export function isUnknownPath(error: unknown): boolean {
  const { name } = ((error as KubeError | undefined)?.details ?? {}) as { readonly name?: unknown }
  return isNotFound(error) && name === undefined
}

export function isConflict(error: unknown): boolean {
  return error instanceof KubeError && error.code === 409 && error.reason !== 'AlreadyExists'
}

export function isAlreadyExists(error: unknown): boolean {
  return error instanceof KubeError && error.code === 409 && error.reason === 'AlreadyExists'
}

/** The requested version is older than the server's history, so the caller has to list again. */
export function isGone(error: unknown): boolean {
  return error instanceof KubeError && error.code === 410
}
