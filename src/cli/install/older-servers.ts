import type { Manifest } from '../../install/manifest.ts'
import { withoutNewerFields } from '../../install/server-versions.ts'
import type { KubeClient } from '../../kube/client.ts'

/** The manifest without fields that this API server does not know. */
export async function fitToServer(client: KubeClient, manifest: Manifest): Promise<Manifest> {
  if (manifest.kind !== 'DaemonSet') return manifest
  const { gitVersion } = (await client.json({ method: 'GET', path: '/version' })) as { gitVersion?: string }
  return withoutNewerFields(manifest, gitVersion ?? '')
}
