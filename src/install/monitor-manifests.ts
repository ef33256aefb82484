import { labelled, type Manifest, type Names, namespace } from './manifest.ts'
import { withLabels } from './monitoring/manifests.ts'
import { healthPortKey, operatorMetricsPortKey } from './settings/process-settings.ts'

/** What Prometheus scrapes. */
interface Target {
  readonly name: string
  readonly component: string
  readonly podLabels: Readonly<Record<string, string>>
  readonly port: number
  readonly targetPort: number | string
}

type ConfigMap = Readonly<Record<string, string>>

/** The Prometheus Operator finds pods by Services. These Services are headless, because they are used for nothing else. */
export function monitorManifests({ agentLabels, operatorLabels }: Names, configMap: ConfigMap): Manifest[] {
  if (configMap['service-monitor'] !== 'true') return []
  const operatorPort = Number(configMap[operatorMetricsPortKey])
  const targets: readonly Target[] = [
    {
      name: 'sallyport-agent-metrics',
      component: 'agent-metrics',
      podLabels: agentLabels,
      port: Number(configMap[healthPortKey]),
      targetPort: 'metrics',
    },
    /* By number: a port that has a name would keep two operators from sharing a node, although one of them can wait for it. */
    {
      name: 'sallyport-operator-metrics',
      component: 'operator-metrics',
      podLabels: operatorLabels,
      port: operatorPort,
      targetPort: operatorPort,
    },
  ]
  return targets.flatMap((target) => manifestsOf(target, configMap))
}

function manifestsOf(
  { name, component, podLabels, port, targetPort }: Target,
  configMap: ConfigMap,
): Manifest[] {
  const labels = { 'app.kubernetes.io/component': component }
  const service = labelled(
    'v1',
    'Service',
    name,
    {
      spec: {
        clusterIP: 'None',
        selector: podLabels,
        ports: [{ name: 'metrics', port, protocol: 'TCP', targetPort }],
      },
    },
    namespace,
  )
  const monitor = labelled(
    'monitoring.coreos.com/v1',
    'ServiceMonitor',
    name,
    {
      spec: {
        selector: { matchLabels: labels },
        endpoints: [
          {
            port: 'metrics',
            interval: configMap['service-monitor-interval'],
            relabelings: [{ sourceLabels: ['__meta_kubernetes_pod_node_name'], targetLabel: 'node' }],
          },
        ],
      },
    },
    namespace,
  )
  return [
    withLabels(service, JSON.stringify(labels)),
    withLabels(monitor, configMap['service-monitor-labels']),
  ]
}

/** Why these settings exclude each other. Undefined if they do not. */
export function monitorConflict(configMap: ConfigMap): string | undefined {
  if (configMap['service-monitor'] !== 'true' || configMap['health-address'] !== '127.0.0.1') return undefined
  return 'serviceMonitor.enabled: Prometheus cannot reach health.address=127.0.0.1. Set health.address to 0.0.0.0 or ::'
}
