import { KubeError } from '../../kube/kube-error.ts'
import { Complaint } from '../user-error.ts'

/** A refusal of the API server as a person understands it; any other error as it is. */
export function withRights(error: unknown): unknown {
  if (!(error instanceof KubeError) || error.code !== 403) return error
  return new Complaint(`${error.message}; this needs the rights of a cluster administrator`)
}
