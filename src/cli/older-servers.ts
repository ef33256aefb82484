import type { Manifest } from '../api/manifest.ts'
import type { KubeClient } from '../kube/client.ts'

/**
 * Fields by the minor version of Kubernetes that they came with. An API server refuses to apply one that it does not know;
 * what it says is said in the manifest in the older way, too.
 */
const newerFields: Readonly<Record<string, number>> = { appArmorProfile: 30 }

/** The manifest as this server can take it. */
export async function fitToServer(client: KubeClient, manifest: Manifest): Promise<Manifest> {
  if (manifest.kind !== 'DaemonSet') return manifest
  const { gitVersion } = (await client.json({ method: 'GET', path: '/version' })) as { gitVersion?: string }
  return withoutNewerFields(manifest, gitVersion ?? '')
}

/** A version that cannot be read is taken for a new one. */
export function withoutNewerFields(manifest: Manifest, gitVersion: string): Manifest {
  const minor = Number(/^v1\.(\d+)/.exec(gitVersion)?.[1] ?? Number.POSITIVE_INFINITY)
  const text = JSON.stringify(manifest, (key, value: unknown) =>
    (newerFields[key] ?? 0) > minor ? undefined : value,
  )
  return JSON.parse(text) as Manifest
}
