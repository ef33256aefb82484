import { configMapName, namespace } from '../../install/manifest.ts'
import type { KubeClient, KubeObject } from '../../kube/client.ts'
import { coreResource } from '../../kube/cluster-objects.ts'
import { isNotFound } from '../../kube/kube-error.ts'
import { UserError } from '../user-error.ts'

type Data = Readonly<Record<string, string>>

/** The settings of the install, by ConfigMap key. Without an install: `otherwise`, or an error that says how to install. */
export async function readConfigMap(client: KubeClient, otherwise?: Data): Promise<Data> {
  const configMaps = client.resource<KubeObject & { readonly data?: Record<string, string> }>(
    coreResource('configmaps', true),
  )
  try {
    return (await configMaps.get(configMapName, namespace)).data ?? {}
  } catch (error) {
    if (isNotFound(error) && otherwise !== undefined) return otherwise
    if (isNotFound(error)) throw new UserError('Sallyport is not installed: run "sallyport install"')
    throw error
  }
}
