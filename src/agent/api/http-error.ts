/** An answer of the local API other than 200. 503 tells the CNI plugin to retry later. */
export class HttpError extends Error {
  readonly status: number
  constructor(status: number, message: string, options?: ErrorOptions) {
    super(message, options)
    this.status = status
  }
}
