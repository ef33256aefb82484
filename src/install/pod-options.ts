import type { Json } from './settings/structured-value.ts'
import { imageTagKey } from './settings/workload-settings.ts'

type ConfigMap = Readonly<Record<string, string>>
type Texts = Readonly<Record<string, string>>

const read = <T>(configMap: ConfigMap, key: string): T => JSON.parse(configMap[key] ?? '{}') as T
const isEmpty = (value: object): boolean => Object.keys(value).length === 0

/** The fields of a workload's pods that come from settings. Empty values are omitted. */
export function podOptions(configMap: ConfigMap, workload: 'agent' | 'operator') {
  const of = (key: string): string => `${workload}-${key}`
  const nodeSelector = read<Texts>(configMap, of('node-selector'))
  const affinity = read<Readonly<Record<string, Json>>>(configMap, of('affinity'))
  return {
    labels: read<Texts>(configMap, of('pod-labels')),
    annotations: read<Texts>(configMap, of('pod-annotations')),
    resources: read<object>(configMap, of('resources')),
    scheduling: {
      priorityClassName: configMap[of('priority-class-name')],
      ...(isEmpty(nodeSelector) ? {} : { nodeSelector }),
      tolerations: read<readonly object[]>(configMap, of('tolerations')),
      ...(isEmpty(affinity) ? {} : { affinity }),
      ...pullSecrets(configMap),
    },
  }
}

export function pullSecrets(configMap: ConfigMap): object {
  const names = (configMap['image-pull-secrets'] ?? '').split(',').filter((name) => name !== '')
  return names.length === 0 ? {} : { imagePullSecrets: names.map((name) => ({ name })) }
}

/** The image of a container, and its pull policy. */
export function imageFields(configMap: ConfigMap): {
  readonly image: string
  readonly imagePullPolicy?: string
} {
  const image = `${configMap['image-repository']}:${configMap[imageTagKey]}`
  const policy = configMap['image-pull-policy']
  return policy === undefined ? { image } : { image, imagePullPolicy: policy }
}
