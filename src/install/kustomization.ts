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
 * Which file a manifest goes to. Folders and files are applied in this order. The definitions of policies have a folder of their
 * own: another product may have brought them, and with them go all policies.
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
    ['agent.yaml', ofKinds('DaemonSet', 'Service', 'ServiceMonitor')],
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
 * An install as a folder for `kubectl apply -k`: each file's text by its path. Every manifest is in exactly one. What cleans
 * the nodes is beside them, for after `kubectl delete -k`.
 */
export function renderKustomization(
  manifests: readonly Manifest[],
  cleanUp: Manifest,
): ReadonlyMap<string, string> {
  const all = Object.values(folders).flat()
  const homeless = manifests.find((manifest) => !all.some(([, has]) => has(manifest)))
  if (homeless !== undefined) throw new Error(`no file takes a ${homeless.kind}`)
  return new Map([
    ['kustomization.yaml', kustomization(Object.keys(folders))],
    ['clean-up.yaml', toYaml([cleanUp])],
    ...Object.entries(folders).flatMap(([folder, files]): [string, string][] => [
      [`${folder}/kustomization.yaml`, kustomization(files.map(([file]) => file))],
      ...files.map(([file, has]): [string, string] => [`${folder}/${file}`, toYaml(manifests.filter(has))]),
    ]),
  ])
}

/** Answers with the paths that it wrote. Other files of the folder stay as they are. */
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
