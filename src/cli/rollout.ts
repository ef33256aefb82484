import { type Names, namespace } from '../api/manifest.ts'
import type { KubeClient, KubeObject } from '../kube/client.ts'
import { Complaint } from './complaint.ts'

interface Workload extends KubeObject {
  readonly spec?: { readonly replicas?: number }
  readonly status?: Readonly<Record<string, number>>
}

const patienceMs = 300_000
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

interface Progress {
  readonly desired: number
  readonly updated: number
  readonly available: number
}

/** Until every pod is one of the new kind and available, saying how far it is each time it gets further. */
export async function waitForRollout(
  client: KubeClient,
  { operator, agent }: Names,
  print: (line: string) => void,
): Promise<void> {
  await waitForWorkload(client, 'deployments', operator, print)
  await waitForWorkload(client, 'daemonsets', agent, print)
  print('All agents and operators are of this version and configuration.')
}

async function waitForWorkload(
  client: KubeClient,
  plural: 'deployments' | 'daemonsets',
  name: string,
  print: (line: string) => void,
): Promise<void> {
  const workloads = client.resource<Workload>({ group: 'apps', version: 'v1', plural, isNamespaced: true })
  let said = ''
  for (let movedAt = Date.now(); ; await sleep(300)) {
    const workload = await workloads.get(name, namespace)
    const isSeen = (workload.status?.observedGeneration ?? 0) >= (workload.metadata.generation ?? 0)
    const { desired, updated, available } = progressOf(plural, workload)
    const line = `${name}: ${updated} of ${desired} updated, ${available} available`
    if (isSeen && line !== said) {
      print(line)
      said = line
      movedAt = Date.now()
    }
    if (isSeen && updated >= desired && available >= desired) return
    if (Date.now() - movedAt > patienceMs)
      throw new Complaint(
        `${name} does not get further: "sallyport status" and "kubectl -n ${namespace} get pods" say why`,
      )
  }
}

function progressOf(plural: string, { spec, status = {} }: Workload): Progress {
  if (plural === 'deployments')
    return {
      desired: spec?.replicas ?? 1,
      updated: status.updatedReplicas ?? 0,
      available: status.availableReplicas ?? 0,
    }
  return {
    desired: status.desiredNumberScheduled ?? 0,
    updated: status.updatedNumberScheduled ?? 0,
    available: status.numberAvailable ?? 0,
  }
}
