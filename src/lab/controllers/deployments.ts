import { deploymentsName } from './cluster.ts'
import { type DeploymentCondition, deploymentConditions } from './deployment-conditions.ts'
import { hasEnded, type OwnedPods } from './owned-pods.ts'
import { hashLabel, isPodReady, templateHash, type Workload } from './workload.ts'

/** New pods first, old ones away as the new are ready. */
export async function tendDeployment(pods: OwnedPods, deployment: Workload): Promise<void> {
  const owned = pods.of(deployment).filter((pod) => pod.metadata.deletionTimestamp === undefined)
  const hash = templateHash(deployment)
  const replicas = deployment.spec.replicas ?? 1
  for (const pod of owned.filter(hasEnded)) await pods.remove(pod)
  const current = owned.filter((pod) => pod.metadata.labels?.[hashLabel] === hash)
  const old = owned.filter((pod) => pod.metadata.labels?.[hashLabel] !== hash)
  for (let index = current.length; index < replicas; index++)
    await pods.create(deployment, 'Deployment', undefined, `${hash}/${index}`)
  for (const pod of current.slice(replicas)) await pods.remove(pod)
  if (current.filter(isPodReady).length >= replicas) for (const pod of old) await pods.remove(pod)
  const ready = owned.filter(isPodReady).length
  const { conditions = [] } = (deployment.status ?? {}) as { conditions?: readonly DeploymentCondition[] }
  const progress = {
    isAvailable: ready >= replicas,
    isComplete: current.length === owned.length && current.filter(isPodReady).length >= replicas,
    replicaSet: `${deployment.metadata.name}-${hash}`,
  }
  await pods.report(deploymentsName, deployment, {
    replicas: owned.length,
    readyReplicas: ready,
    availableReplicas: ready,
    updatedReplicas: current.length,
    observedGeneration: deployment.metadata.generation,
    conditions: deploymentConditions(conditions, progress, new Date().toISOString()),
  })
}
