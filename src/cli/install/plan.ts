import { toYaml } from '../../install/kustomization.ts'
import type { Manifest } from '../../install/manifest.ts'
import { withCluster } from '../cluster.ts'
import { findHelmRelease } from './helm-release.ts'
import { describe, findForeign, isSharedDefinition } from './install.ts'

/**
 * The manifests that an install would apply to the cluster of the kubeconfig, as YAML. Comments name the objects that it would
 * not apply, or say that no cluster answered.
 */
export async function renderPlan(manifests: readonly Manifest[]): Promise<string> {
  let foreign: ReadonlySet<Manifest>
  let release: string | undefined
  try {
    ;[release, foreign] = await withCluster(async (client) => [
      await findHelmRelease(client),
      await findForeign(client, manifests),
    ])
  } catch (error) {
    const reason = error instanceof Error ? error.message.split('\n')[0] : String(error)
    return `# Printed without asking a cluster: ${reason}\n# The install leaves definitions of other products unchanged.\n${toYaml(manifests)}`
  }
  if (release !== undefined)
    return `# The Helm release ${release} manages this install. "sallyport install" refuses to change it.\n${toYaml(manifests)}`
  const notes = [...foreign].map((manifest) =>
    isSharedDefinition(manifest)
      ? `# ${describe(manifest)} belongs to another product. Sallyport uses it unchanged.\n`
      : `# ${describe(manifest)} already exists, and another product created it. The install stops here.\n`,
  )
  return notes.join('') + toYaml(manifests.filter((manifest) => !foreign.has(manifest)))
}
