/** What an API server answers instead of what was asked for: a Status object, or something in front of it that is none. */
export class KubeError extends Error {
  readonly code: number
  readonly reason: string
  readonly details: unknown
  /** From Retry-After, where the server sent it. */
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

/** Not the object is missing but what was asked of it: a kind, or a subresource that its definition has not. */
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

/** The version asked for is older than the server's memory: list anew. */
export function isGone(error: unknown): boolean {
  return error instanceof KubeError && error.code === 410
}
