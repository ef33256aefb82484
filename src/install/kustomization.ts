import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { stringify } from 'yaml'
import { kinds } from '../api/kinds.ts'
import type { Manifest } from './manifest.ts'

const ofKinds =
  (...names: readonly string[]) =>
  ({ kind }: Manifest): boolean =>
    names.includes(kind)
const isDefinitionIn =
  (group: string) =>
  ({ kind, metadata }: Manifest): boolean =>
    kind === 'CustomResourceDefinition' && metadata.name.endsWith(`.${group}`)

/**
 * The file of each manifest. Folders and files are applied in this order. The definitions of policies are in a folder of their own, so that
 * users can leave them out: another product may have created them, and deleting them deletes all policies.
 */
const folders: Readonly<
  Record<string, readonly (readonly [file: string, has: (each: Manifest) => boolean])[]>
> = {
  policies: [
    ['cilium.yaml', isDefinitionIn(kinds.ciliumEgressGatewayPolicy.group)],
    ['isovalent.yaml', isDefinitionIn(kinds.isovalentEgressGatewayPolicy.group)],
  ],
  sallyport: [
    ['definitions.yaml', isDefinitionIn(kinds.egressNode.group)],
    ['rights.yaml', ofKinds('ServiceAccount', 'ClusterRole', 'ClusterRoleBinding', 'Role', 'RoleBinding')],
    ['configuration.yaml', ofKinds('ConfigMap')],
    ['operator.yaml', ofKinds('Deployment', 'PodDisruptionBudget')],
    ['agent.yaml', ofKinds('DaemonSet', 'Service', 'ServiceMonitor', 'PrometheusRule')],
  ],
}

export function toYaml(manifests: readonly Manifest[]): string {
  return manifests
    .map((manifest) => stringify(manifest, { aliasDuplicateObjects: false, lineWidth: 0 }))
    .join('---\n')
}

const kustomization = (resources: readonly string[]): string =>
  stringify({ apiVersion: 'kustomize.config.k8s.io/v1beta1', kind: 'Kustomization', resources })

/**
 * Renders an install as a folder for `kubectl apply -k`: the text of each file by its path. Every manifest is in exactly one file.
 * clean-up.yaml is not part of the kustomization. Users apply it after `kubectl delete -k`.
 */
export function renderKustomization(
  manifests: readonly Manifest[],
  cleanUp: Manifest,
): ReadonlyMap<string, string> {
  const all = Object.values(folders).flat()
  const unplaced = manifests.find((manifest) => !all.some(([, has]) => has(manifest)))
  if (unplaced !== undefined) throw new Error(`no file is defined for the kind ${unplaced.kind}`)
  return new Map([
    ['kustomization.yaml', kustomization(Object.keys(folders))],
    ['clean-up.yaml', toYaml([cleanUp])],
    ...Object.entries(folders).flatMap(([folder, files]): [string, string][] => [
      [`${folder}/kustomization.yaml`, kustomization(files.map(([file]) => file))],
      ...files.map(([file, has]): [string, string] => [`${folder}/${file}`, toYaml(manifests.filter(has))]),
    ]),
  ])
}

/** Writes the files and returns their paths. It does not touch other files of the folder. */
export function writeKustomization(
  folder: string,
  manifests: readonly Manifest[],
  cleanUp: Manifest,
): string[] {
  return [...renderKustomization(manifests, cleanUp)].map(([file, text]) => {
    const path = join(folder, file)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, text)
    return path
  })
}
