import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { stringify } from 'yaml'
import type { Manifest } from '../api/manifest.ts'

/** Which file a kind goes to; files are applied in this order. */
const files: readonly (readonly [file: string, kinds: readonly string[]])[] = [
  ['definitions.yaml', ['CustomResourceDefinition']],
  ['rights.yaml', ['ServiceAccount', 'ClusterRole', 'ClusterRoleBinding', 'Role', 'RoleBinding']],
  ['configuration.yaml', ['ConfigMap']],
  ['operator.yaml', ['Deployment', 'PodDisruptionBudget']],
  ['agent.yaml', ['DaemonSet']],
]

export function toYaml(manifests: readonly Manifest[]): string {
  return manifests
    .map((manifest) => stringify(manifest, { aliasDuplicateObjects: false, lineWidth: 0 }))
    .join('---\n')
}

/**
 * An install as a folder for `kubectl apply -k`: each file's text by its name. Every manifest is in exactly one. What cleans
 * the nodes is beside them, for after `kubectl delete -k`.
 */
export function renderKustomization(
  manifests: readonly Manifest[],
  cleanUp: Manifest,
): ReadonlyMap<string, string> {
  const homeless = manifests.find(({ kind }) => !files.some(([, kinds]) => kinds.includes(kind)))
  if (homeless !== undefined) throw new Error(`no file takes a ${homeless.kind}`)
  const kustomization = {
    apiVersion: 'kustomize.config.k8s.io/v1beta1',
    kind: 'Kustomization',
    resources: files.map(([file]) => file),
  }
  return new Map([
    ['kustomization.yaml', stringify(kustomization)],
    ['clean-up.yaml', toYaml([cleanUp])],
    ...files.map(([file, kinds]): [string, string] => [
      file,
      toYaml(manifests.filter(({ kind }) => kinds.includes(kind))),
    ]),
  ])
}

/** Answers with the paths that it wrote. Other files of the folder stay as they are. */
export function writeKustomization(
  folder: string,
  manifests: readonly Manifest[],
  cleanUp: Manifest,
): string[] {
  mkdirSync(folder, { recursive: true })
  return [...renderKustomization(manifests, cleanUp)].map(([file, text]) => {
    writeFileSync(join(folder, file), text)
    return join(folder, file)
  })
}
