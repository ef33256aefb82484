/** The conditions of a Deployment as the real controller words them. Tools that wait for a rollout read both. */
export interface DeploymentCondition {
  readonly type: 'Available' | 'Progressing'
  readonly status: 'True' | 'False'
  readonly lastUpdateTime: string
  readonly lastTransitionTime: string
  readonly reason: string
  readonly message: string
}

interface DeploymentProgress {
  readonly isAvailable: boolean
  /** Every pod is of the current template and ready, and no older one is left. */
  readonly isComplete: boolean
  /** The hash of the current template. The lab has no ReplicaSets. */
  readonly replicaSet: string
}

/** Times stay as they were while the condition does not change. */
export function deploymentConditions(
  before: readonly DeploymentCondition[],
  { isAvailable, isComplete, replicaSet }: DeploymentProgress,
  now: string,
): readonly DeploymentCondition[] {
  const available = isAvailable
    ? ['MinimumReplicasAvailable', 'Deployment has minimum availability.']
    : ['MinimumReplicasUnavailable', 'Deployment does not have minimum availability.']
  const progressing = isComplete
    ? ['NewReplicaSetAvailable', `ReplicaSet "${replicaSet}" has successfully progressed.`]
    : ['ReplicaSetUpdated', `ReplicaSet "${replicaSet}" is progressing.`]
  const condition = (
    type: DeploymentCondition['type'],
    isTrue: boolean,
    [reason = '', message = '']: readonly string[],
  ): DeploymentCondition => {
    const status = isTrue ? 'True' : 'False'
    const last = before.find((each) => each.type === type)
    if (last?.status === status && last.reason === reason && last.message === message) return last
    const lastTransitionTime = last?.status === status ? last.lastTransitionTime : now
    return { type, status, lastUpdateTime: now, lastTransitionTime, reason, message }
  }
  return [condition('Available', isAvailable, available), condition('Progressing', true, progressing)]
}
