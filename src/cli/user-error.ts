/** A mistake of the user's, or of the world's, that one sentence explains; no stack helps. */
export class Complaint extends Error {
  readonly exitCode: number
  constructor(message: string, exitCode = 1) {
    super(message)
    this.exitCode = exitCode
  }
}
