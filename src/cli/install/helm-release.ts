import { kinds, managedByLabel } from '../../api/kinds.ts'
import { chartAnnotation, configMapName, namespace } from '../../install/manifest.ts'
import type { KubeClient, KubeObject } from '../../kube/client.ts'
import { coreResource } from '../../kube/cluster-objects.ts'
import { isNotFound } from '../../kube/kube-error.ts'
import { Complaint } from '../user-error.ts'
import { withRights } from './rights.ts'

const ourDefinitions = new Set(Object.values(kinds).map(({ plural, group }) => `${plural}.${group}`))

/** Whether an install made this object, or the chart and it is a definition: Helm keeps those when a release goes. */
export function isOurs({ metadata: { name, labels, annotations } }: KubeObject): boolean {
  if (ourDefinitions.has(name) && annotations?.[chartAnnotation] !== undefined) return true
  return Object.entries(managedByLabel).every(([key, value]) => labels?.[key] === value)
}

/** The name of the Helm release that Sallyport is installed by; undefined if it is not. */
export async function findHelmRelease(client: KubeClient): Promise<string | undefined> {
  try {
    const { metadata } = await client.resource(coreResource('configmaps', true)).get(configMapName, namespace)
    return metadata.labels?.['app.kubernetes.io/managed-by'] === 'Helm'
      ? metadata.annotations?.['meta.helm.sh/release-name']
      : undefined
  } catch (error) {
    if (isNotFound(error)) return undefined
    throw withRights(error)
  }
}

/** Two tools that change the same objects undo each other's settings, so the one that installed them keeps them. */
export async function refuseHelmRelease(
  client: KubeClient,
  remedy: (release: string) => string,
): Promise<void> {
  const release = await findHelmRelease(client)
  if (release !== undefined)
    throw new Complaint(`Sallyport is installed by the Helm release ${release}: ${remedy(release)}`)
}
