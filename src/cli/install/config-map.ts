import { configMapName, namespace } from '../../install/manifest.ts'
import type { KubeClient, KubeObject } from '../../kube/client.ts'
import { coreResource } from '../../kube/cluster-objects.ts'
import { isNotFound } from '../../kube/kube-error.ts'
import { UserError } from '../user-error.ts'

/** The settings of the install, by ConfigMap key. */
export async function readConfigMap(client: KubeClient): Promise<Readonly<Record<string, string>>> {
  const configMaps = client.resource<KubeObject & { readonly data?: Record<string, string> }>(
    coreResource('configmaps', true),
  )
  try {
    return (await configMaps.get(configMapName, namespace)).data ?? {}
  } catch (error) {
    if (isNotFound(error)) throw new UserError('Sallyport is not installed: run "sallyport install"')
    throw error
  }
}
