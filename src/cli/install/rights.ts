import { KubeError } from '../../kube/kube-error.ts'
import { UserError } from '../user-error.ts'

/** Adds the remedy to a "forbidden" error of the API server. Returns any other error unchanged. */
export function withRights(error: unknown): unknown {
  if (!(error instanceof KubeError) || error.code !== 403) return error
  return new UserError(`${error.message}. Run the command with the rights of a cluster administrator`)
}
