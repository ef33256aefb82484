import type { Manifest } from './manifest.ts'

/*
 * The defaults that an API server would add to the manifests of an install. The manifests contain them already, because a field that the
 * server adds belongs to the first field manager. The next one would get a conflict (409), or a GitOps tool would always see a difference.
 */

interface Fields {
  readonly [field: string]: unknown
}

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

export function withServerDefaults(manifest: Manifest): Manifest {
  const { spec } = manifest
  if (!isFields(spec)) return manifest
  switch (manifest.kind) {
    case 'CustomResourceDefinition':
      return { ...manifest, spec: { conversion: { strategy: 'None' }, ...spec } }
    case 'Deployment':
      return {
        ...manifest,
        spec: { ...deploymentDefaults, ...spec, template: filledTemplate(spec.template) },
      }
    case 'DaemonSet':
      return {
        ...manifest,
        spec: {
          revisionHistoryLimit: 10,
          ...spec,
          updateStrategy: filledUpdate(spec.updateStrategy),
          template: filledTemplate(spec.template),
        },
      }
    case 'Service':
      return {
        ...manifest,
        spec: { type: 'ClusterIP', sessionAffinity: 'None', internalTrafficPolicy: 'Cluster', ...spec },
      }
    default:
      return manifest
  }
}

const deploymentDefaults = {
  strategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: '25%', maxSurge: '25%' } },
  revisionHistoryLimit: 10,
  progressDeadlineSeconds: 600,
}

function filledUpdate(strategy: unknown): unknown {
  if (!isFields(strategy) || !isFields(strategy.rollingUpdate)) return strategy
  return { ...strategy, rollingUpdate: { maxSurge: 0, ...strategy.rollingUpdate } }
}

function filledTemplate(template: unknown): unknown {
  if (!isFields(template) || !isFields(template.spec)) return template
  const { spec } = template
  const containers = (list: unknown): object =>
    Array.isArray(list) ? list.map((each) => filledContainer(each, spec.hostNetwork === true)) : {}
  return {
    ...template,
    spec: {
      restartPolicy: 'Always',
      terminationGracePeriodSeconds: 30,
      schedulerName: 'default-scheduler',
      ...spec,
      ...(spec.initContainers === undefined ? {} : { initContainers: containers(spec.initContainers) }),
      containers: containers(spec.containers),
      volumes: Array.isArray(spec.volumes) ? spec.volumes.map(filledVolume) : [],
    },
  }
}

function filledContainer(container: Fields, isInNodeNetwork: boolean): object {
  const { ports } = container
  const probes = ['readinessProbe', 'livenessProbe', 'startupProbe'].filter((name) => name in container)
  return {
    terminationMessagePath: '/dev/termination-log',
    terminationMessagePolicy: 'File',
    ...container,
    ...Object.fromEntries(probes.map((name) => [name, filledProbe(container[name])])),
    ...(Array.isArray(ports) ? { ports: ports.map((port) => filledPort(port, isInNodeNetwork)) } : {}),
  }
}

const filledPort = (port: Fields, isInNodeNetwork: boolean): object => ({
  ...(isInNodeNetwork ? { hostPort: port.containerPort } : {}),
  protocol: 'TCP',
  ...port,
})

function filledProbe(probe: unknown): unknown {
  if (!isFields(probe)) return probe
  const { httpGet } = probe
  return {
    successThreshold: 1,
    ...probe,
    ...(isFields(httpGet) ? { httpGet: { scheme: 'HTTP', ...httpGet } } : {}),
  }
}

function filledVolume(volume: Fields): object {
  const { configMap } = volume
  return isFields(configMap) ? { ...volume, configMap: { defaultMode: 0o644, ...configMap } } : volume
}
