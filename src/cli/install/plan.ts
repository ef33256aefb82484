import { toYaml } from '../../install/kustomization.ts'
import type { Manifest } from '../../install/manifest.ts'
import { withCluster } from '../cluster.ts'
import { findHelmRelease } from './helm-release.ts'
import { describe, findForeign, isUsedAsItIs } from './install.ts'

/**
 * What an install would apply to the cluster of the kubeconfig, as YAML; what it would not is said in comments. Where no
 * cluster can be asked, that is said instead.
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
    return `# No cluster was asked, and what another product brought there would be left alone: ${reason}\n${toYaml(manifests)}`
  }
  if (release !== undefined)
    return `# Sallyport is installed by the Helm release ${release}, and install refuses to change it\n${toYaml(manifests)}`
  const notes = [...foreign].map((manifest) =>
    isUsedAsItIs(manifest)
      ? `# ${describe(manifest)} is another product's: it is used as it is, and left alone\n`
      : `# ${describe(manifest)} is there and not ours: the install ends before it\n`,
  )
  return notes.join('') + toYaml(manifests.filter((manifest) => !foreign.has(manifest)))
}
