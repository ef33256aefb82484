import { kinds, managedByLabel } from '../../api/kinds.ts'
import { chartAnnotation, configMapName, namespace } from '../../install/manifest.ts'
import type { KubeClient, KubeObject } from '../../kube/client.ts'
import { coreResource } from '../../kube/cluster-objects.ts'
import { isNotFound } from '../../kube/kube-error.ts'
import { UserError } from '../user-error.ts'
import { withRights } from './rights.ts'

const ourDefinitions = new Set(Object.values(kinds).map(({ plural, group }) => `${plural}.${group}`))

/** Whether `install` created this object, or it is a definition that the chart created. Helm keeps definitions when a release is removed. */
export function isOurs({ metadata: { name, labels, annotations } }: KubeObject): boolean {
  if (ourDefinitions.has(name) && annotations?.[chartAnnotation] !== undefined) return true
  return Object.entries(managedByLabel).every(([key, value]) => labels?.[key] === value)
}

/** The name of the Helm release that installed Sallyport. Undefined if none did. */
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

/** Two tools that change the same objects undo each other's settings. So only the tool that installed Sallyport may change it. */
export async function refuseHelmRelease(
  client: KubeClient,
  remedy: (release: string) => string,
): Promise<void> {
  const release = await findHelmRelease(client)
  if (release !== undefined)
    throw new UserError(`the Helm release ${release} manages this install. ${remedy(release)}`)
}
